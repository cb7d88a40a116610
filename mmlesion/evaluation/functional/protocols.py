"""The rules of the public lesion detection benchmarks."""

from .froc import Protocol
from .overlaps import OverlapCriterion, centre_in_sphere

PER_IMAGE_LEVELS = (0.5, 1, 2, 3, 4, 8, 16)
PER_SCAN_LEVELS = (0.125, 0.25, 0.5, 1, 2, 4, 8)


def deeplesion_protocol(overlap='iou', threshold=0.5):
    """Return the rules for DeepLesion's key slices, as in the 3DCE and MULAN programs."""
    return Protocol(OverlapCriterion(overlap, threshold), PER_IMAGE_LEVELS)


def lens_protocol(overlap='iobb', threshold=0.3):
    """Return the rules for 3D boxes on DeepLesion's annotated sub-volumes (LENS, section IV-A)."""
    return Protocol(OverlapCriterion(overlap, threshold), PER_SCAN_LEVELS)


def luna16_protocol():
    """Return LUNA16's rules: at most 100 marks per scan, the best mark inside a nodule counts."""
    return Protocol(centre_in_sphere, PER_SCAN_LEVELS, merge_ties=True, max_per_item=100)
