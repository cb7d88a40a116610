from mmlesion.utils.import_hooks import lazy_exports

from .frames import file_box, file_shift, to_original_frame
from .recist import Recist, measure_recist
from .rle import encode_mask, usable_segmentation
from .segments import Segment, clip_segment, cut_segments, shares_in_boxes
from .source_dataset import batch_dataset
from .volume_grid import VolumeGrid

# these need torch, which the others do without
__getattr__ = lazy_exports(
    __name__,
    dict(
        SphereBoxes='.sphere_boxes',
        check_shape='.sphere_overlaps',
        label_segments='.segment_tensors',
        meet_segments='.segment_tensors',
        sphere_overlaps='.sphere_overlaps',
    ),
)

__all__ = [
    'Recist',
    'Segment',
    'SphereBoxes',
    'VolumeGrid',
    'batch_dataset',
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
