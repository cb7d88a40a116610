"""Evaluation functions on NumPy arrays."""

from .cases import Cases, froc_cases
from .comparison import Comparison, PairedDifference, RowScore, compare_rows
from .froc import Protocol, evaluate_froc, limit_per_item, score_thresholds, sensitivity_at
from .matching import match
from .overlaps import OVERLAPS, OverlapCriterion, box_overlaps, centre_in_sphere, slice_overlaps
from .patients import TNP_SENSITIVITY, true_negative_patients
from .protocols import (
    PER_IMAGE_LEVELS,
    PER_SCAN_LEVELS,
    deeplesion_protocol,
    lens_protocol,
    luna16_protocol,
)
from .stacking import link_boxes, stack_boxes

__all__ = [
    'OVERLAPS',
    'PER_IMAGE_LEVELS',
    'PER_SCAN_LEVELS',
    'TNP_SENSITIVITY',
    'Cases',
    'Comparison',
    'OverlapCriterion',
    'PairedDifference',
    'Protocol',
    'RowScore',
    'box_overlaps',
    'centre_in_sphere',
    'compare_rows',
    'deeplesion_protocol',
    'evaluate_froc',
    'froc_cases',
    'lens_protocol',
    'limit_per_item',
    'link_boxes',
    'luna16_protocol',
    'match',
    'score_thresholds',
    'sensitivity_at',
    'slice_overlaps',
    'stack_boxes',
    'true_negative_patients',
]
