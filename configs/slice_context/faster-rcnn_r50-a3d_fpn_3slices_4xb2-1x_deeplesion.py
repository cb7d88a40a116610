# The baseline's Faster R-CNN on three slices that exchange features in the backbone and meet in the
# lateral convolutions of the pyramid.
_base_ = [
    '../baselines/faster-rcnn_r50_fpn_4xb2-1x_deeplesion.py',
    '../_base_/models/slice_context_parts.py',
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
