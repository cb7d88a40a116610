"""Mining of missing annotations and generation of masks from RECIST."""

from mmlesion.utils.lazy_exports import lazy_exports

from .cross_dataset import uncertain_regions
from .hard_negatives import label_tracklets, label_volume
from .matching import match_embeddings
from .miner import RULES, AnnotationMiner
from .propagation import match_annotations, propagate
from .tracklets import build_tracklets

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
