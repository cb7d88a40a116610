"""The rules of the public lesion detection benchmarks."""

from .froc import Protocol
from .overlaps import OverlapCriterion, centre_in_sphere

PER_IMAGE_LEVELS = (0.5, 1, 2, 3, 4, 8, 16)
PER_SCAN_LEVELS = (0.125, 0.25, 0.5, 1, 2, 4, 8)


def deeplesion_protocol(overlap='iou', threshold=0.5):
    """2D boxes on DeepLesion's key slices, as the 3DCE and MULAN programs evaluate them."""
    return Protocol(OverlapCriterion(overlap, threshold), PER_IMAGE_LEVELS)


def lens_protocol(overlap='iobb', threshold=0.3):
    """3D boxes on DeepLesion's fully annotated sub-volumes (LENS, section IV-A)."""
    return Protocol(OverlapCriterion(overlap, threshold), PER_SCAN_LEVELS)


def luna16_protocol():
    """Marks in LUNA16's scans: at most 100 per scan, the best mark inside a nodule counts."""
    return Protocol(centre_in_sphere, PER_SCAN_LEVELS, merge_ties=True, max_per_item=100)
