from .mask_dataset import MaskOptions, MaskRun, PartialFile, read_hu
from .recist_masks import LesionMask, ellipse_mask, recist_from_box, recist_mask

__all__ = [
    'LesionMask',
    'MaskOptions',
    'MaskRun',
    'PartialFile',
    'ellipse_mask',
    'read_hu',
    'recist_from_box',
    'recist_mask',
]
