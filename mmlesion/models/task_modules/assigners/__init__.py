"""Assigners and overlap calculators."""

from .sphere_overlaps_3d import SphereOverlaps3D
from .uncertain_iou_assigner import UncertainIoUAssigner

__all__ = ['SphereOverlaps3D', 'UncertainIoUAssigner']
