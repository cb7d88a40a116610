"""Hooks that change some modules of a model, by their names: half precision and freezing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn
from torch.utils.hooks import RemovableHandle

from mmlesion.utils import UserError
from mmlesion.utils.networks import autocast_forward, channels_last, store_channels_last


class ModulesHook(Hook):
    """A hook that changes some modules of the runner's model.

    Args:
        modules: Names of modules of the model; dots lead into them, as in
            'roi_head.bbox_roi_extractor'.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = tuple(modules)

    def chosen(self, runner: Runner) -> Iterator[nn.Module]:
        """Yield the modules; the model may be wrapped for distributed training.

        Raises:
            UserError: If the model has no such module.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for name in self.modules:
            try:
                yield model.get_submodule(name)
            except AttributeError:
                children = ', '.join(child for child, _ in model.named_children())
                raise UserError(
                    f'{type(self).__name__}: the model has no module {name!r}; it has {children}'
                ) from None


@HOOKS.register_module()
class AutocastModulesHook(ModulesHook):
    """Run the convolutions of some modules in bfloat16, in training and testing.

    With ``--amp`` a whole detector runs under autocast, which mmcv's operators do not support on a
    CPU: its NMS and RoIAlign only accept float32 there. Backbone and neck, which take most of the
    time, use none of them. Weights stay in float32, and so do the outputs of modules. float16, the
    other half precision, needs a gradient scaler, which ``--amp`` has.

    Args:
        modules: Names of modules of the model; dots lead into them.
        channels_last: Whether their weights and images use the channels-last memory format,
            which oneDNN and cuDNN prefer, in 2D and 3D.

    Raises:
        UserError: If the model has no such module, when a run begins.
    """

    def __init__(
        self,
        modules: Sequence[str] = ('backbone', 'neck'),
        channels_last: bool = True,
    ) -> None:
        super().__init__(modules)
        self.channels_last = channels_last
        self._handles: list[RemovableHandle] = []

    def before_run(self, runner: Runner) -> None:
        """Let the modules compute in bfloat16 from here on."""
        for module in self.chosen(runner):
            self._handles += autocast_forward(module, torch.bfloat16)
            if self.channels_last:
                store_channels_last(module)
                self._handles.append(module.register_forward_pre_hook(_arrange))

    def after_run(self, runner: Runner) -> None:
        """Let them compute as before."""
        while self._handles:
            self._handles.pop().remove()


def _arrange(module: nn.Module, inputs: tuple) -> tuple:
    """Convert images or volumes to the memory format of the weights."""
    return tuple(channels_last(one) if isinstance(one, torch.Tensor) else one for one in inputs)


@HOOKS.register_module()
class FreezeModulesHook(ModulesHook):
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
        super().__init__(modules)

    def before_run(self, runner: Runner) -> None:
        """Disable the gradients, before the weights are loaded."""
        for module in self.chosen(runner):
            module.requires_grad_(False)
        if is_model_wrapper(runner.model):
            # DistributedDataParallel waits for the gradients of what needed them when it was made.
            wrapper_cfg = runner.cfg.get('model_wrapper_cfg')
            runner.model = runner.wrap_model(wrapper_cfg, runner.model.module)

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Return the frozen modules to evaluation mode, which the training loop has changed."""
        for module in self.chosen(runner):
            module.eval()
