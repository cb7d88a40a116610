# default_runtime_3d.py for cross-validation in which a fold is tested that nothing was chosen by:
# no best checkpoint.
_base_ = ['mmdet::_base_/default_runtime.py', './runtime_parts.py']

# LesionRunner's work folders are work_dirs/<config>/fold<k>
default_hooks = dict(
    checkpoint=dict(_base_.best_checkpoint, save_best=None),
    visualization=dict(_base_.pictures, score_thr=0.5),
)
visualizer = dict(type='LesionLocalVisualizer')
custom_hooks = [*_base_.custom_hooks, *_base_.volume_hooks, dict(type='FoldHook')]
