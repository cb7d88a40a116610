# + anchor-based sampling, section IV-C: one round, then 30 epochs more.
_base_ = './aggregated-rcnn3d_dense-unet_da_4xb2-50e_luna16.py'

train_cfg = dict(max_epochs=80)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='HardCropHook', dataloader=_base_.train_scan_dataloader, epochs=(50,)),
]
