"""Pipeline transforms for CT slices, patches and volumes."""

from .dense_masks import LesionMasksToSegMap, LoadLesionAnnotations
from .geometry import ClipBlackBorder, NormalizeSpacing, RandomCTAffine
from .intensity import WindowHU
from .loading import LoadCTSlices, LoadCTSlicesFromVolume
from .patches import CropLesionPatch, LoadNearbyCTSlices, LoadProposalPatch
from .volumes import (
    LoadSphereAnnotations,
    LoadVolume,
    PackVolumeInputs,
    RandomFlip3D,
    RandomLesionCrop,
)

__all__ = [
    'ClipBlackBorder',
    'CropLesionPatch',
    'LesionMasksToSegMap',
    'LoadCTSlices',
    'LoadCTSlicesFromVolume',
    'LoadLesionAnnotations',
    'LoadProposalPatch',
    'LoadSphereAnnotations',
    'LoadVolume',
    'LoadNearbyCTSlices',
    'NormalizeSpacing',
    'PackVolumeInputs',
    'RandomCTAffine',
    'RandomFlip3D',
    'RandomLesionCrop',
    'WindowHU',
]
