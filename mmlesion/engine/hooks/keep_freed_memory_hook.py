"""Reuse of freed memory in trainings and tests on a processor."""

from __future__ import annotations

from mmdet.registry import HOOKS
from mmengine.device import get_device
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmlesion.utils.memory import (
    keep_freed_memory,
    return_freed_memory,
    trim_freed_memory,
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
