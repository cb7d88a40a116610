"""Training and test hooks."""

from .branch_schedule_hook import BranchScheduleHook
from .check_finite_hook import CheckFiniteHook
from .fold_hook import FoldHook
from .hard_crop_hook import HardCropHook
from .memory_hooks import KeepFreedMemoryHook, SharedMemoryHook
from .module_hooks import AutocastModulesHook, FreezeModulesHook
from .resume_hooks import EpochSeedHook, ResumableEarlyStoppingHook
from .validated_checkpoint_hook import ValidatedCheckpointHook
from .visualization_hook import LesionVisualizationHook

__all__ = [
    'AutocastModulesHook',
    'BranchScheduleHook',
    'CheckFiniteHook',
    'EpochSeedHook',
    'FoldHook',
    'FreezeModulesHook',
    'HardCropHook',
    'KeepFreedMemoryHook',
    'LesionVisualizationHook',
    'ResumableEarlyStoppingHook',
    'SharedMemoryHook',
    'ValidatedCheckpointHook',
]
