# Table III, "crop 96": 3D-AG, in crops and windows of 96 mm.
_base_ = './aggregated-rcnn3d_dense-unet_da_4xb2-50e_luna16.py'

side = 96
model = dict(test_cfg=dict(window=dict(size=(side, side, side))))
crop = dict(_base_.train_pipeline[2], crop_size=(side, side, side))
train_pipeline = [*_base_.train_pipeline[:2], crop, *_base_.train_pipeline[3:]]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
