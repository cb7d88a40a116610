"""The rules of the public lesion detection benchmarks."""

from .froc import Protocol
from .overlaps import OverlapCriterion, center_in_sphere

PER_IMAGE_FP_RATES = (0.5, 1, 2, 3, 4, 8, 16)
PER_SCAN_FP_RATES = (0.125, 0.25, 0.5, 1, 2, 4, 8)


def deeplesion_protocol(overlap: str = 'iou', threshold: float = 0.5) -> Protocol:
    """Return the rules of the 3DCE and MULAN programs for 2D boxes on DeepLesion's key slices."""
    return Protocol(OverlapCriterion(overlap, threshold), PER_IMAGE_FP_RATES)


def lens_protocol(overlap: str = 'iobb', threshold: float = 0.3) -> Protocol:
    """Return the rules of LENS, section VI-C, for 3D boxes in DeepLesion's sub-volumes."""
    return Protocol(OverlapCriterion(overlap, threshold), PER_SCAN_FP_RATES)


def luna16_protocol() -> Protocol:
    """Return LUNA16's rules for marks: at most 100 per scan; a nodule's best mark counts."""
    return Protocol(center_in_sphere, PER_SCAN_FP_RATES, merge_ties=True, max_per_case=100)
