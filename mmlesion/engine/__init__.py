from .checkpoint import load_from_local
from .cpu_runner import CPURunner
from .hooks import (
    BranchScheduleHook,
    EpochSeedHook,
    FreezeModulesHook,
    HardCropHook,
    LesionVisualizationHook,
    ResumableEarlyStoppingHook,
    ValidatedCheckpointHook,
)

__all__ = [
    'BranchScheduleHook',
    'CPURunner',
    'EpochSeedHook',
    'FreezeModulesHook',
    'HardCropHook',
    'LesionVisualizationHook',
    'ResumableEarlyStoppingHook',
    'ValidatedCheckpointHook',
    'load_from_local',
]
