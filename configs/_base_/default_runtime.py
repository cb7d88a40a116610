_base_ = ['mmdet::_base_/default_runtime.py', './runtime_parts.py']

default_hooks = dict(checkpoint=_base_.best_checkpoint, visualization=_base_.pictures)
visualizer = dict(type='LesionLocalVisualizer')
