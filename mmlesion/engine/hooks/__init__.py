from .epoch_seed_hook import EpochSeedHook
from .visualization_hook import LesionVisualizationHook

__all__ = ['EpochSeedHook', 'LesionVisualizationHook']
