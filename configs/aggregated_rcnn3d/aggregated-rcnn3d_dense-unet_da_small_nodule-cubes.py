# + Diameter Alignment: 3D-AG of the paper.
_base_ = './rpn3d_dense-unet_small_nodule-cubes.py'

model = dict(roi_head=_base_.fprn)
param_scheduler = _base_.fprn_param_scheduler
custom_hooks = [*_base_.custom_hooks, _base_.joint_training]
