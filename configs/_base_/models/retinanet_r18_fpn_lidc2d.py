# RetinaNet for small windows, on two CPU cores: ResNet-18 up to stage 3 with ImageNet's weights,
# heads on P2 to P5 of 64 channels.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    './ct_detector_parts.py',
    './resnet18_lidc2d.py',
]

model = dict(
    # of the training part, HU -1024 to 400 on 0 to 255; one value serves any number of slices
    data_preprocessor=dict(_base_.ct_pixels, mean=[88.0], std=[77.0]),
    backbone=_base_.resnet18,
    neck=dict(in_channels=[64, 128, 256], out_channels=64, start_level=0, num_outs=4),
    bbox_head=dict(
        num_classes=1,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        # anchors of 8 to 102 px, a nodule's box has 13 to 33 px (quartiles)
        anchor_generator=dict(octave_base_scale=2, strides=[4, 8, 16, 32]),
    ),
    train_cfg=dict(assigner=_base_.lesion_assigner),
    test_cfg=dict(score_thr=0.01),
)
