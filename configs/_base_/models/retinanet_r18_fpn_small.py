# RetinaNet at a quarter of its width, from random weights: a demonstration for two CPU cores.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    './ct_detector_parts.py',
    './small_detector_parts.py',
]

model = dict(
    data_preprocessor=dict(_base_.ct_pixels, **_base_.phantom_pixels),
    backbone=_base_.resnet18_small,
    neck=dict(in_channels=_base_.small_channels, out_channels=64),
    bbox_head=dict(
        num_classes=1,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        anchor_generator=dict(octave_base_scale=2),
    ),
    train_cfg=dict(assigner=_base_.lesion_assigner),
    test_cfg=dict(score_thr=0.01),
)
