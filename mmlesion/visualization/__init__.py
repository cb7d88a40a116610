"""Images and plots of lesions, detections and evaluations."""

from .froc_curve import draw_froc
from .local_visualizer import LesionLocalVisualizer, slice_to_rgb

__all__ = ['LesionLocalVisualizer', 'draw_froc', 'slice_to_rgb']
