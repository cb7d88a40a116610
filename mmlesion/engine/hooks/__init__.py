from .epoch_seed_hook import EpochSeedHook
from .freeze_modules_hook import FreezeModulesHook
from .visualization_hook import LesionVisualizationHook

__all__ = ['EpochSeedHook', 'FreezeModulesHook', 'LesionVisualizationHook']
