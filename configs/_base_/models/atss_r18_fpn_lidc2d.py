_base_ = ['./atss_r50_fpn.py', './resnet18_lidc2d.py', './lidc2d_detector_parts.py']

model = dict(
    data_preprocessor=_base_.lidc2d_pixels,
    backbone=_base_.resnet18,
    neck=dict(in_channels=[64, 128, 256], out_channels=64, start_level=0, num_outs=3),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        # anchors of 8 to 32 px, a nodule's box has 13 to 33 px (quartiles)
        anchor_generator=dict(strides=_base_.lidc2d_strides),
    ),
    test_cfg=dict(score_thr=0.01),
)
