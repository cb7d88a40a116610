# RetinaNet at less than a quarter of its width on C1 to C5, from random weights, for two CPU cores.
_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '../../../_base_/models/ct_detector_parts.py',
    '../../../_base_/models/small_detector_parts.py',
]

model = dict(
    # images come in -1 to 1; what pads them is air
    data_preprocessor=dict(mean=None, std=None, bgr_to_rgb=False, pad_value=-1),
    backbone=dict(_base_.resnet18_small, type='StemResNet'),
    neck=dict(in_channels=[32, *_base_.small_channels], start_level=2, out_channels=48),
    bbox_head=dict(num_classes=1, in_channels=48, feat_channels=48, stacked_convs=2),
    train_cfg=dict(assigner=_base_.lesion_assigner),
    test_cfg=dict(score_thr=0.01),
)
