from .dense_masks import LesionMasksToSegMap, LoadLesionAnnotations
from .geometry import ClipBlackBorder, NormalizeSpacing, RandomCTAffine
from .intensity import WindowHU
from .loading import LoadCTSlices, LoadCTSlicesFromVolume

__all__ = [
    'ClipBlackBorder',
    'LesionMasksToSegMap',
    'LoadCTSlices',
    'LoadCTSlicesFromVolume',
    'LoadLesionAnnotations',
    'NormalizeSpacing',
    'RandomCTAffine',
    'WindowHU',
]
