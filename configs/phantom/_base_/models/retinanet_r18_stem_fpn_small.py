# RetinaNet at less than a quarter of its width on C1 to C5, from random weights, for two CPU cores.
_base_ = '../../../_base_/models/retinanet_r18_fpn_small.py'

model = dict(
    # images come in -1 to 1; what pads them is air
    data_preprocessor=dict(mean=None, std=None, pad_value=-1),
    backbone=dict(type='StemResNet'),
    neck=dict(in_channels=[32, 32, 64, 128, 256], start_level=2, out_channels=48),
    # back to the original's anchors, of 32 px and more
    bbox_head=dict(in_channels=48, feat_channels=48, anchor_generator=dict(octave_base_scale=4)),
)
