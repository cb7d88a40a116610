# The focal loss of 3D Aggregated Faster R-CNN hardly pushes background below 0.4 (its gamma is 5):
# pictures begin at 0.5, which is one to four false positives in a scan on the phantoms.
_base_ = ['mmdet::_base_/default_runtime.py', './runtime_parts.py']

default_hooks = dict(
    checkpoint=_base_.best_checkpoint, visualization=dict(_base_.pictures, score_thr=0.5)
)
visualizer = dict(type='LesionLocalVisualizer')
custom_hooks = [*_base_.custom_hooks, *_base_.volume_hooks]
