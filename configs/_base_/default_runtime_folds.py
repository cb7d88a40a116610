# Cross-validation in which a fold is tested that nothing was chosen by: no best checkpoint.
_base_ = './default_runtime_3d.py'

# LesionRunner's work folders are work_dirs/<config>/fold<k>
default_hooks = dict(checkpoint=dict(save_best=None))
custom_hooks = [*_base_.custom_hooks, dict(type='FoldHook')]
