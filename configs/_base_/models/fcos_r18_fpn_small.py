_base_ = ['./fcos_r50_fpn.py', './small_detector_parts.py']

model = dict(
    data_preprocessor=_base_.phantom_pixels,
    backbone=_base_.resnet18_small,
    neck=dict(in_channels=_base_.small_channels, out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64, stacked_convs=2),
    test_cfg=dict(score_thr=0.01),
)
