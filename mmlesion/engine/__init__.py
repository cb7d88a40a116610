"""Hooks, the runner and checkpoint handling."""

from .checkpoints import find_latest_checkpoint, load_from_local
from .hooks import (
    AutocastModulesHook,
    BranchScheduleHook,
    CheckFiniteHook,
    EpochSeedHook,
    FoldHook,
    FreezeModulesHook,
    HardCropHook,
    KeepFreedMemoryHook,
    LesionVisualizationHook,
    ResumableEarlyStoppingHook,
    SharedMemoryHook,
    ValidatedCheckpointHook,
)
from .runner import LesionRunner

__all__ = [
    'AutocastModulesHook',
    'BranchScheduleHook',
    'CheckFiniteHook',
    'EpochSeedHook',
    'FoldHook',
    'FreezeModulesHook',
    'HardCropHook',
    'KeepFreedMemoryHook',
    'LesionRunner',
    'LesionVisualizationHook',
    'ResumableEarlyStoppingHook',
    'SharedMemoryHook',
    'ValidatedCheckpointHook',
    'find_latest_checkpoint',
    'load_from_local',
]
