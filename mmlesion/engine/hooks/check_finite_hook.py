"""An end of runs whose network computes no numbers."""

from __future__ import annotations

import torch
from mmdet.engine.hooks import CheckInvalidLossHook
from mmdet.registry import HOOKS
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmlesion.utils import UserError
from mmlesion.utils.networks import check_scores

from ..checkpoint_content import not_finite

ADVICE = 'resume from an earlier checkpoint with a lower learning rate, or clip gradients'


@HOOKS.register_module()
class CheckFiniteHook(CheckInvalidLossHook):
    """End a training that has diverged, and a test whose scores are no numbers, with a message.

    mmdet's hook looks at the loss, which is that of the weights before the last step: an epoch may
    end with weights that are not finite after losses that all were, and be saved. So this one also
    looks at the weights before each checkpoint is written. In validations and tests it looks at
    what heads compute (:func:`~mmlesion.utils.networks.check_scores`), since all of mmdet's
    heads drop a score that is NaN as one below the threshold: a patient would be healthy.

    Args:
        interval: Iterations from one look at the loss to the next. Defaults to 1: mmengine
            copies each iteration's losses to the processor anyway.
    """

    def __init__(self, interval: int = 1) -> None:
        super().__init__(interval)
        self._handles: list[torch.utils.hooks.RemovableHandle] = []

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Raise :class:`UserError` if the loss is not finite."""
        if outputs is None or not self.every_n_train_iters(runner, self.interval):
            return
        if not torch.as_tensor(outputs['loss']).isfinite().all():
            raise UserError(
                f'the training has diverged by iteration {runner.iter + 1}: its loss is no finite '
                f'number; {ADVICE}'
            )

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Raise :class:`UserError` if a weight is not finite."""
        if name := not_finite(checkpoint['state_dict']):
            raise UserError(
                f'the training has diverged by iteration {runner.iter}: {name} is not finite, and '
                f'no checkpoint is written; {ADVICE}'
            )

    def before_val(self, runner: Runner) -> None:
        """Look at scores from here on."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self._handles = check_scores(model)

    def after_val(self, runner: Runner) -> None:
        """Look at scores no longer."""
        for handle in self._handles:
            handle.remove()

    def before_test(self, runner: Runner) -> None:
        """As :meth:`before_val`."""
        self.before_val(runner)

    def after_test(self, runner: Runner) -> None:
        """As :meth:`after_val`."""
        self.after_val(runner)
