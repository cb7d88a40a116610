# Faster R-CNN at a quarter of its width, from random weights: a demonstration for two CPU cores.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    './ct_detector_parts.py',
    './small_detector_parts.py',
]

model = dict(
    data_preprocessor=dict(_base_.ct_pixels, **_base_.phantom_pixels),
    backbone=_base_.resnet18_small,
    neck=dict(in_channels=_base_.small_channels, out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=_base_.five_scales),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, roi_layer=dict(sampling_ratio=2)),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=1),
    ),
    # NMS of mmdet's 2000 proposals a level takes over half of a training step on a CPU.
    train_cfg=dict(
        rpn=dict(assigner=_base_.lesion_assigner),
        rpn_proposal=dict(nms_pre=300, max_per_img=300),
        rcnn=dict(assigner=_base_.lesion_assigner, sampler=dict(num=32)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=300), rcnn=dict(score_thr=0.01)),
)
