# Nine slices: three groups of three through one backbone, a 1x1 convolution per level fuses them.
_base_ = '../baselines/faster-rcnn_r18-imagenet_fpn_phantom.py'

load = dict(type='LoadCTSlices', num_slices=9, slice_interval=2.0)
train_pipeline = [load, *_base_.train_pipeline[1:]]
test_pipeline = [load, *_base_.test_pipeline[1:]]
tta_pipeline = [*test_pipeline[:-1], _base_.flip_tta]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

model = dict(
    backbone=dict(
        _delete_=True, type='GroupedSliceBackbone', num_groups=3, backbone=_base_.model.backbone
    ),
    neck=[
        dict(type='SliceGroupFusion', in_channels=_base_.model.neck.in_channels, num_groups=3),
        _base_.model.neck,
    ],
)
