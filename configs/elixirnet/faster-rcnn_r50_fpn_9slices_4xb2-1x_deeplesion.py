# Nine slices: three groups of three through one backbone, a 1x1 convolution per level fuses them.
_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]

load = dict(_base_.load, num_slices=9)
train_pipeline = [load, _base_.load_boxes, *_base_.augment, _base_.pack]
test_pipeline = [load, *_base_.prepare, _base_.pack]
tta_pipeline = [load, *_base_.prepare, _base_.flip_tta]
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
