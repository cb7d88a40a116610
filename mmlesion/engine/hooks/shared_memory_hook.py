"""A word about shared memory that is too small for the workers of data loaders."""

from __future__ import annotations

import shutil
from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

SHARED_MEMORY = Path('/dev/shm')
ENOUGH = 1 << 30  # bytes, of several batches of whole slices


@HOOKS.register_module()
class SharedMemoryHook(Hook):
    """Warn before the first batch where ``/dev/shm`` has less than 1 GiB left for workers.

    Workers pass batches through it, with either of torch's sharing strategies. Where it is full,
    torch prints an error of the worker's thread and the training waits for ever. A container of
    Docker has 64 MB by default.
    """

    def before_train(self, runner: Runner) -> None:
        """Look at it for the training, whose loader has most workers."""
        self._warn(runner, runner.train_dataloader)

    def before_test(self, runner: Runner) -> None:
        """Look at it for a test."""
        self._warn(runner, runner.test_dataloader)

    def _warn(self, runner: Runner, loader: DataLoader) -> None:
        if not loader.num_workers or not SHARED_MEMORY.is_dir():
            return
        free = shutil.disk_usage(SHARED_MEMORY).free
        if free < ENOUGH:
            runner.logger.warning(
                f'{SHARED_MEMORY} has {free / 1e6:.0f} MB left for the batches of '
                f'{loader.num_workers} workers, which wait for ever where it is full: start the '
                'container with --shm-size=2g, or set num_workers=0 and persistent_workers=False'
            )
