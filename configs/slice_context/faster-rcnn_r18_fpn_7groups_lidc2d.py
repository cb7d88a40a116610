# Seven slices that meet behind the backbone, in a 1x1 convolution per level: GroupedSliceBackbone
# with one slice in a group.
_base_ = './faster-rcnn_r18-a3d_fpn_7slices_lidc2d.py'

model = dict(
    backbone=dict(conv=None, fuse='concat'),
    neck=[
        dict(type='SliceGroupFusion', in_channels=_base_.model.neck.in_channels, num_groups=7),
        _base_.model.neck,
    ],
)
