"""Training and test hooks."""

from .branch_schedule_hook import BranchScheduleHook
from .check_finite_hook import CheckFiniteHook
from .epoch_seed_hook import EpochSeedHook
from .fold_hook import FoldHook
from .hard_crop_hook import HardCropHook
from .keep_freed_memory_hook import KeepFreedMemoryHook
from .module_hooks import AutocastModulesHook, FreezeModulesHook
from .resumable_early_stopping_hook import ResumableEarlyStoppingHook
from .shared_memory_hook import SharedMemoryHook
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
