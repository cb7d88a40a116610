"""Hooks, runners and checkpoint handling."""

from .atomic_local_backend import AtomicLocalBackend
from .checkpoint import load_from_local
from .hooks import (
    AutocastModulesHook,
    BranchScheduleHook,
    EpochSeedHook,
    FoldHook,
    FreezeModulesHook,
    HardCropHook,
    LesionVisualizationHook,
    ResumableEarlyStoppingHook,
    ValidatedCheckpointHook,
)
from .runner import CPURunner, FoldRunner

__all__ = [
    'AutocastModulesHook',
    'AtomicLocalBackend',
    'BranchScheduleHook',
    'CPURunner',
    'EpochSeedHook',
    'FoldHook',
    'FoldRunner',
    'FreezeModulesHook',
    'HardCropHook',
    'LesionVisualizationHook',
    'ResumableEarlyStoppingHook',
    'ValidatedCheckpointHook',
    'load_from_local',
]
