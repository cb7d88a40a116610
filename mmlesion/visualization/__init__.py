"""Images and plots of lesions, detections and evaluations."""

from mmlesion.utils.lazy_exports import lazy_exports

from .froc_plots import draw_froc

__all__ = ['LesionLocalVisualizer', 'draw_froc', 'slice_to_rgb']
# these need mmdet, which drawing alone does without
__getattr__ = lazy_exports(
    __name__,
    dict(LesionLocalVisualizer='.local_visualizer', slice_to_rgb='.local_visualizer'),
)
