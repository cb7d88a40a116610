# Table III, "crop 96": 3D-AG, in crops and windows of 96 mm.
_base_ = './rpn3d_dense-unet_4xb2-50e_luna16.py'

side = 96
model = dict(roi_head=_base_.fprn, test_cfg=dict(window=dict(size=(side, side, side))))
crop = dict(_base_.crop, crop_size=(side, side, side))
train_pipeline = [_base_.load, _base_.load_spheres, crop, _base_.flip, _base_.pack]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
param_scheduler = _base_.fprn_param_scheduler
custom_hooks = [*_base_.custom_hooks, _base_.joint_training]
