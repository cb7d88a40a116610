# The baseline's Faster R-CNN on three slices that exchange features in the backbone and meet in the
# lateral convolutions of the pyramid.
_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/models/slice_context_parts.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='SliceContextBackbone',
        conv='A3D',
        num_slices=3,
        fuse='concat',
        backbone=_base_.model.backbone,
    ),
    neck=dict(in_channels=[3 * 256, 3 * 512, 3 * 1024, 3 * 2048]),
)
