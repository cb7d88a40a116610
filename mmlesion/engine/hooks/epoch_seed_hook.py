"""Reproducible random numbers after resuming."""

from __future__ import annotations

from mmdet.registry import HOOKS
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.utils import set_random_seed


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
