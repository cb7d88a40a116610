from .checkpoint import load_from_local
from .hooks import EpochSeedHook, LesionVisualizationHook

__all__ = ['EpochSeedHook', 'LesionVisualizationHook', 'load_from_local']
