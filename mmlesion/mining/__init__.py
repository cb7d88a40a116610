from .cross_dataset import uncertain_regions
from .hard_negatives import label_tracklets, label_volume
from .matching import match_embeddings
from .miner import RULES, AnnotationMiner
from .propagation import meet_annotations, propagate
from .series import list_series
from .tracklets import build_tracklets
from .volume_pass import VolumePass, VolumeStore

__all__ = [
    'RULES',
    'AnnotationMiner',
    'VolumePass',
    'VolumeStore',
    'build_tracklets',
    'label_tracklets',
    'label_volume',
    'list_series',
    'match_embeddings',
    'meet_annotations',
    'propagate',
    'uncertain_regions',
]
