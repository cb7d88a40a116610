_base_ = ['./mask-rcnn_r50_fpn.py', './small_detector_parts.py']

model = dict(
    data_preprocessor=_base_.phantom_pixels,
    backbone=_base_.resnet18_small,
    neck=dict(in_channels=_base_.small_channels, out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, roi_layer=dict(sampling_ratio=2)),
        bbox_head=dict(in_channels=64, fc_out_channels=256),
        mask_roi_extractor=dict(out_channels=64, roi_layer=dict(sampling_ratio=2)),
        mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=300, max_per_img=300), rcnn=dict(sampler=dict(num=32))
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.01)),
)
