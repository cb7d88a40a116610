"""Lesion detectors."""

from .aggregated_rcnn_3d import AggregatedRCNN3D
from .lens import LENS
from .lesion_retinanet import LesionRetinaNet

__all__ = ['LENS', 'AggregatedRCNN3D', 'LesionRetinaNet']
