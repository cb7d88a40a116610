"""Freezing of modules during training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from .chosen_modules import chosen_modules


@HOOKS.register_module()
class FreezeModulesHook(Hook):
    """Freeze the weights and statistics of some modules of a detector.

    The parameters of these modules get no gradients, and the modules are in evaluation mode while
    the others train, so that batch normalization neither uses nor updates a batch's statistics and
    dropout is off. ElixirNet freezes feature extractor and RPN in its second stage, and while it
    searches its blocks. Load the weights to keep with ``load_from``.

    Args:
        modules: Names of modules of the model; dots lead into them, as in
            'roi_head.bbox_roi_extractor'.

    Raises:
        UserError: If the model has no such module.
    """

    def __init__(self, modules: Sequence[str] = ('backbone', 'neck', 'rpn_head')) -> None:
        self.modules = tuple(modules)

    def before_run(self, runner: Runner) -> None:
        """Disable the gradients, before the weights are loaded."""
        for module in self._frozen(runner):
            module.requires_grad_(False)
        if is_model_wrapper(runner.model):
            # DistributedDataParallel waits for the gradients of what needed them when it was made.
            wrapper_cfg = runner.cfg.get('model_wrapper_cfg')
            runner.model = runner.wrap_model(wrapper_cfg, runner.model.module)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Return the frozen modules to evaluation mode, which the training loop has changed."""
        for module in self._frozen(runner):
            module.eval()

    def _frozen(self, runner: Runner) -> Iterator[nn.Module]:
        return chosen_modules(runner, self.modules, 'FreezeModulesHook')
