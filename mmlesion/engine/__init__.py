from .checkpoint import load_from_local
from .hooks import (
    BranchScheduleHook,
    EpochSeedHook,
    FreezeModulesHook,
    HardCropHook,
    LesionVisualizationHook,
)

__all__ = [
    'BranchScheduleHook',
    'EpochSeedHook',
    'FreezeModulesHook',
    'HardCropHook',
    'LesionVisualizationHook',
    'load_from_local',
]
