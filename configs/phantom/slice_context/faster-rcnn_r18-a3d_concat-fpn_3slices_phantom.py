# The slices meet behind the backbone, too: a 1x1 convolution over all of them on each level instead
# of the key slice alone.
_base_ = './faster-rcnn_r18-a3d_fpn_3slices_phantom.py'

model = dict(
    backbone=dict(fuse='concat'),
    neck=[
        dict(type='SliceGroupFusion', in_channels=_base_.model.neck.in_channels, num_groups=3),
        _base_.model.neck,
    ],
)
