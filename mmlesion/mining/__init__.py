from .cross_dataset import uncertain_regions
from .hard_negatives import label_tracklets, label_volume
from .mask_dataset import MaskOptions, MaskRun, PartialFile
from .matching import match_embeddings
from .miner import RULES, AnnotationMiner
from .propagation import meet_annotations, propagate
from .recist_masks import LesionMask, ellipse_mask, recist_from_box, recist_mask
from .series import list_series
from .tracklets import build_tracklets
from .volume_pass import VolumePass, VolumeStore

__all__ = [
    'RULES',
    'AnnotationMiner',
    'LesionMask',
    'MaskOptions',
    'MaskRun',
    'PartialFile',
    'VolumePass',
    'VolumeStore',
    'build_tracklets',
    'ellipse_mask',
    'label_tracklets',
    'label_volume',
    'list_series',
    'match_embeddings',
    'meet_annotations',
    'propagate',
    'recist_from_box',
    'recist_mask',
    'uncertain_regions',
]
