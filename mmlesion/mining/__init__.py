"""Mining of missing annotations."""

from mmlesion.utils.lazy_exports import lazy_exports

from .hard_negatives import label_tracklets, label_volume
from .rules import (
    RULES,
    AnnotationMiner,
    build_tracklets,
    match_annotations,
    match_embeddings,
    propagate,
    uncertain_regions,
)

# these need torch and mmengine, which the rules do without
__getattr__ = lazy_exports(__name__, dict(VolumePass='.volume_pass', VolumeStore='.volume_pass'))

__all__ = [
    'RULES',
    'AnnotationMiner',
    'VolumePass',
    'VolumeStore',
    'build_tracklets',
    'label_tracklets',
    'label_volume',
    'match_embeddings',
    'match_annotations',
    'propagate',
    'uncertain_regions',
]
