"""Memory of a run: shared memory of the loaders, and freed memory that is kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from mmdet.registry import HOOKS
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmlesion.utils.memory import keep_freed_memory, return_freed_memory, trim_freed_memory

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


@HOOKS.register_module()
class KeepFreedMemoryHook(Hook):
    """Keep freed memory for the next feature maps while a run computes on a processor.

    glibc gives each block above 32 MB back to the system when it is freed, and feature maps of
    volumes are such blocks: without this hook, the system takes 40 % of the processor time of a
    step of 3D Aggregated Faster R-CNN to clear their pages (docs/speed.md). The process stays at
    the peak of its memory, which is higher, until the run ends. Nothing changes on a GPU, or where
    a user has decided by one of glibc's variables (``MALLOC_TRIM_THRESHOLD_``).
    """

    def __init__(self) -> None:
        self._keeps = False

    def before_run(self, runner: Runner) -> None:
        """Keep memory from here on."""
        self._keeps = get_device() == 'cpu' and keep_freed_memory()

    def after_run(self, runner: Runner) -> None:
        """Give what is free back, for what the process does next."""
        if self._keeps:
            return_freed_memory()
            trim_freed_memory()
