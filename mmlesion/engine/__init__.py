from .checkpoint import load_from_local
from .hooks import EpochSeedHook, FreezeModulesHook, LesionVisualizationHook

__all__ = ['EpochSeedHook', 'FreezeModulesHook', 'LesionVisualizationHook', 'load_from_local']
