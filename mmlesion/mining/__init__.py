from .cross_dataset import uncertain_regions
from .hard_negatives import label_tracklets, label_volume
from .matching import match_embeddings
from .miner import RULES, AnnotationMiner
from .propagation import meet_annotations, propagate
from .tracklets import SliceBoxes, build_tracklets
from .volume_pass import VolumePass, VolumeStore
from .volumes import Volume, list_volumes

__all__ = [
    'RULES',
    'AnnotationMiner',
    'SliceBoxes',
    'Volume',
    'VolumePass',
    'VolumeStore',
    'build_tracklets',
    'label_tracklets',
    'label_volume',
    'list_volumes',
    'match_embeddings',
    'meet_annotations',
    'propagate',
    'uncertain_regions',
]
