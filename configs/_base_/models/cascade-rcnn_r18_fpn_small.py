_base_ = ['./cascade-rcnn_r50_fpn.py', './small_detector_parts.py']

model = dict(
    data_preprocessor=_base_.phantom_pixels,
    backbone=_base_.resnet18_small,
    neck=dict(in_channels=_base_.small_channels, out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, roi_layer=dict(sampling_ratio=2)),
        bbox_head=[
            dict(head, in_channels=64, fc_out_channels=256)
            for head in _base_.model.roi_head.bbox_head
        ],
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=300, max_per_img=300),
        rcnn=[
            dict(stage, sampler=dict(stage.sampler, num=32))
            for stage in _base_.model.train_cfg.rcnn
        ],
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.01)),
)
