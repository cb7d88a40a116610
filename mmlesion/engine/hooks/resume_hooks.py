"""What makes a resumed run repeat the unbroken one: random numbers and early stopping."""

from __future__ import annotations

from math import isfinite

from mmdet.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import EarlyStoppingHook, Hook
from mmengine.runner import Runner
from mmengine.runner.utils import set_random_seed

from mmlesion.utils import UserError

STATE = 'early_stopping'


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Reseed before every training epoch, so that resumed runs reproduce uninterrupted ones.

    mmengine seeds once, at the start. Random numbers drawn in the main process after that, such as
    for the anchors and proposals that mmdet samples for its losses, then depend on the number of
    epochs that this process has run, and a run resumed after epoch n gives different losses than an
    uninterrupted one. Seeding by (seed, epoch, rank) removes this dependence. The data loader's
    workers start each epoch from their own seed as long as ``persistent_workers`` is off.
    """

    priority = 'VERY_HIGH'

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed ``random``, NumPy and torch from the run's seed, the epoch and the rank."""
        # primes, so that no epoch of one process has the seed of another's
        set_random_seed((runner.seed + 1_000_003 * runner.epoch + 10_007 * get_rank()) % 2**32)


@HOOKS.register_module()
class ResumableEarlyStoppingHook(EarlyStoppingHook):
    """mmengine's early stopping with its counter and best score saved in checkpoints.

    A resumed run then stops after the same epoch as an uninterrupted one. The checkpoints must be
    saved after validation, as :class:`ValidatedCheckpointHook` does.

    Args:
        *args: Those of mmengine's ``EarlyStoppingHook``.
        **kwargs: Those of mmengine's ``EarlyStoppingHook``. With ``check_finite`` (the default) a
            non-finite metric is an error: it would otherwise end training immediately, as if it
            were finished.
    """

    priority = 'LOW'  # before the checkpoint is saved

    def before_train(self, runner: Runner) -> None:
        """Restore the state of a resumed run, which may have been stopped."""
        state = runner.message_hub.runtime_info.get(STATE)
        if state is None:
            return
        self.wait_count, self.best_score = state['wait_count'], state['best_score']
        if self._is_over():
            runner.train_loop.stop_training = True
            runner.logger.info(f'{self.monitor} had reached its plateau: training is finished')

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Decide whether to stop.

        Raises:
            UserError: With ``check_finite``, if the metric is not finite.
        """
        score = metrics.get(self.monitor)
        if self.check_finite and score is not None and not isfinite(score):
            raise UserError(
                f'{self.monitor} is {score}, by which early stopping cannot judge: the data of '
                'val_dataloader has no lesions. Check its ann_file, or leave early_stopping '
                'out of custom_hooks'
            )
        super().after_val_epoch(runner, metrics)
        # in the message hub, which checkpoints save
        state = dict(wait_count=self.wait_count, best_score=float(self.best_score))
        runner.message_hub.update_info(STATE, state)

    def _is_over(self) -> bool:
        better = self.rule_map[self.rule]
        threshold = self.stopping_threshold
        reached = threshold is not None and better(self.best_score, threshold)
        return reached or self.wait_count >= self.patience
