# Table III: 3D-AG and anchor-based sampling, section IV-C: one round, then 30 epochs more.
_base_ = './rpn3d_dense-unet_4xb2-50e_luna16.py'

model = dict(roi_head=_base_.fprn)
train_cfg = dict(max_epochs=_base_.max_epochs_abs)
param_scheduler = [*_base_.fprn_param_scheduler, *_base_.abs_round]
custom_hooks = [
    *_base_.custom_hooks,
    _base_.joint_training,
    dict(type='HardCropHook', dataloader=_base_.train_scan_dataloader, epochs=(_base_.max_epochs,)),
]
