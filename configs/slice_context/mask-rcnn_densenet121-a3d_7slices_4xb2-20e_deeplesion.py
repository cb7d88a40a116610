# A3D's detector (MICCAI 2021) on seven slices.
_base_ = './mask-rcnn_densenet121-a3d_3slices_4xb2-20e_deeplesion.py'

model = dict(
    backbone=dict(num_slices=7),
    neck=[dict(_base_.slice_fusion, num_groups=7), _base_.slice_pyramid],
)

train_pipeline = [_base_.load_7, _base_.load_masks, *_base_.augment, _base_.pack]
test_pipeline = [_base_.load_7, *_base_.prepare, _base_.pack]
tta_pipeline = [_base_.load_7, *_base_.prepare, _base_.flip_tta]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
