# + Local Magnification: 3D-AG-LM of the paper.
_base_ = './rpn3d_dense-unet_luna16-phantom.py'

model = dict(roi_head=_base_.magnified_fprn)
custom_hooks = [*_base_.custom_hooks, _base_.joint_training]
