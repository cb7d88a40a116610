from .checkpoint import load_from_local
from .hooks import (
    BranchScheduleHook,
    EpochSeedHook,
    FoldHook,
    FreezeModulesHook,
    HardCropHook,
    LesionVisualizationHook,
)
from .runner import FoldRunner

__all__ = [
    'BranchScheduleHook',
    'EpochSeedHook',
    'FoldHook',
    'FoldRunner',
    'FreezeModulesHook',
    'HardCropHook',
    'LesionVisualizationHook',
    'load_from_local',
]
