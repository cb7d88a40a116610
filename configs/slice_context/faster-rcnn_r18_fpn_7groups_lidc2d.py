# Seven slices that meet behind the backbone, in a 1x1 convolution per level: GroupedSliceBackbone
# with one slice in a group.
_base_ = [
    '../_base_/models/faster-rcnn_r18_fpn_lidc2d.py',
    '../_base_/models/slice_context_parts.py',
    '../_base_/datasets/lidc2d.py',
    '../_base_/schedules/schedule_lidc2d.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='SliceContextBackbone',
        conv=None,
        num_slices=7,
        fuse='concat',
        backbone=_base_.model.backbone,
    ),
    neck=[
        dict(type='SliceGroupFusion', in_channels=_base_.model.neck.in_channels, num_groups=7),
        _base_.model.neck,
    ],
)

train_pipeline = [_base_.load_7, _base_.load_boxes, *_base_.augment, _base_.pack]
test_pipeline = [_base_.load_7, *_base_.prepare, _base_.pack]
tta_pipeline = [_base_.load_7, *_base_.prepare, _base_.flip_tta]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
