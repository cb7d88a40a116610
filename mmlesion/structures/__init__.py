"""In-memory types: grids, series, boxes, segments and diameters.

Nothing here imports torch or OpenMMLab's packages but :mod:`mmlesion.structures.spheres`, which is
imported by its own name.
"""

from .boxes import (
    file_box,
    file_shift,
    reverse_axes,
    to_half_open,
    to_inclusive,
    to_original_frame,
)
from .findings import Columns, Detections, GroundTruth, Lesions, Predictions, SliceBoxes
from .grid import Grid
from .recist import Recist, measure_recist
from .segments import (
    Segment,
    clip_segment,
    cut_segments,
    decode_mask,
    encode_mask,
    shares_in_boxes,
    usable_segmentation,
)
from .series import SliceRun, SliceSeries, SubVolume, consecutive_runs, grid_samples, grid_steps

__all__ = [
    'Columns',
    'Detections',
    'Grid',
    'GroundTruth',
    'Lesions',
    'Predictions',
    'Recist',
    'Segment',
    'SliceBoxes',
    'SliceRun',
    'SliceSeries',
    'SubVolume',
    'clip_segment',
    'consecutive_runs',
    'cut_segments',
    'encode_mask',
    'file_box',
    'file_shift',
    'grid_samples',
    'grid_steps',
    'measure_recist',
    'reverse_axes',
    'shares_in_boxes',
    'to_half_open',
    'to_inclusive',
    'to_original_frame',
    'decode_mask',
    'usable_segmentation',
]
