from .body import body_box
from .frames import file_box, file_shift, to_original_frame
from .recist import Recist, measure_recist
from .rle import encode_mask, usable_segmentation
from .segments import (
    Segment,
    clip_segment,
    cut_segments,
    label_segments,
    meet_segments,
    shares_in_boxes,
)
from .source_dataset import batch_dataset
from .sphere_boxes import SphereBoxes
from .sphere_overlaps import check_shape, sphere_overlaps
from .volume_grid import VolumeGrid

__all__ = [
    'Recist',
    'Segment',
    'SphereBoxes',
    'VolumeGrid',
    'batch_dataset',
    'body_box',
    'check_shape',
    'clip_segment',
    'cut_segments',
    'encode_mask',
    'file_box',
    'file_shift',
    'label_segments',
    'measure_recist',
    'meet_segments',
    'shares_in_boxes',
    'sphere_overlaps',
    'to_original_frame',
    'usable_segmentation',
]
