"""Checkpoints before and after validation, so that either can be resumed."""

from __future__ import annotations

from bisect import bisect

from mmdet.registry import HOOKS
from mmengine.runner import Runner

from .whole_checkpoint_hook import WholeCheckpointHook

DUE = 'due_validation'  # a key with "val" first would be logged


@HOOKS.register_module()
class ValidatedCheckpointHook(WholeCheckpointHook):
    """Save each epoch before and again after its validation, so that a resumed run loses neither.

    mmengine saves an epoch before it is validated. State that depends on validation (the learning
    rate of ``ReduceOnPlateauLR``, the counter of early stopping, the best checkpoint) is then
    missing from the checkpoint, and a resumed run never validates that epoch. This hook saves the
    checkpoint again after validation. A run resumed from a checkpoint saved before validation
    validates first and then continues training.

    It does so for ``by_epoch=True``. With epochs or iterations, no checkpoint is removed before the
    one that replaces it is whole, see :class:`WholeCheckpointHook`.

    Args:
        *args: Those of mmengine's ``CheckpointHook``.
        **kwargs: Those of mmengine's ``CheckpointHook``.
    """

    def before_train(self, runner: Runner) -> None:
        """Run the validation in which a resumed run was interrupted."""
        super().before_train(runner)
        if runner.val_loop is not None and _is_due(runner):
            self.last_ckpt = self._path(runner.epoch)
            runner.logger.info(f'Epoch {runner.epoch} was not fully validated: validating it')
            runner.val_loop.run()

    def after_train_epoch(self, runner: Runner) -> None:
        """Save the checkpoint, marked if validation is to follow."""
        # runner.epoch still counts the epochs before this one
        if self.by_epoch and _validates(runner, runner.epoch + 1):
            runner.message_hub.update_info(DUE, runner.epoch + 1)
        super().after_train_epoch(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best checkpoint, and the epoch's again with the changes made by validation."""
        if not _is_due(runner):
            super().after_val_epoch(runner, metrics)
            return
        runner.message_hub.pop_info(DUE)
        saved, self.last_ckpt = self.last_ckpt, None  # mmengine would save it with each best one
        super().after_val_epoch(runner, metrics)
        self.last_ckpt = saved
        # without the mark, and with what validation changed, such as a plateau's counter
        if saved == self._path(runner.epoch):
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, runner.epoch, meta)


def _is_due(runner: Runner) -> bool:
    return runner.message_hub.runtime_info.get(DUE) == runner.epoch


def _validates(runner: Runner, epoch: int) -> bool:
    """Return whether an epoch, counted from 1, is validated; see ``EpochBasedTrainLoop``."""
    loop = runner.train_loop
    # the interval of the last milestone that the epoch has reached
    interval = loop.dynamic_intervals[bisect(loop.dynamic_milestones, epoch + 1) - 1]
    in_turn = epoch % interval == 0 or epoch == loop.max_epochs
    return runner.val_loop is not None and epoch >= loop.val_begin and in_turn
