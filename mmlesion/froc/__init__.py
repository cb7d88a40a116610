"""Evaluation functions on NumPy arrays."""

from .cases import Cases, froc_cases
from .comparison import (
    TNP_SENSITIVITY,
    Comparison,
    PairedDifference,
    RowScore,
    compare_rows,
    true_negative_patients,
)
from .curve import sensitivity_at
from .froc import (
    MatchedDetections,
    Protocol,
    evaluate_froc,
    limit_per_case,
    score_thresholds,
    summarize_froc,
)
from .matching import match
from .operating_point import Outcomes, outcomes_at, pick_in_turn, threshold_at
from .overlaps import (
    OVERLAPS,
    PER_IMAGE_FP_RATES,
    PER_SCAN_FP_RATES,
    OverlapCriterion,
    box_overlaps,
    center_in_sphere,
    deeplesion_protocol,
    lens_protocol,
    luna16_protocol,
    slice_overlaps,
)
from .stacking import link_boxes, stack_boxes

__all__ = [
    'OVERLAPS',
    'PER_IMAGE_FP_RATES',
    'PER_SCAN_FP_RATES',
    'TNP_SENSITIVITY',
    'Cases',
    'Comparison',
    'MatchedDetections',
    'Outcomes',
    'OverlapCriterion',
    'PairedDifference',
    'Protocol',
    'RowScore',
    'box_overlaps',
    'center_in_sphere',
    'compare_rows',
    'deeplesion_protocol',
    'evaluate_froc',
    'froc_cases',
    'lens_protocol',
    'limit_per_case',
    'link_boxes',
    'luna16_protocol',
    'match',
    'outcomes_at',
    'pick_in_turn',
    'score_thresholds',
    'sensitivity_at',
    'slice_overlaps',
    'stack_boxes',
    'summarize_froc',
    'threshold_at',
    'true_negative_patients',
]
