_base_ = ['./cascade-rcnn_r50_fpn.py', './resnet18_lidc2d.py', './lidc2d_detector_parts.py']

strides = _base_.lidc2d_strides
model = dict(
    data_preprocessor=_base_.lidc2d_pixels,
    backbone=_base_.resnet18,
    neck=dict(in_channels=[64, 128, 256], out_channels=64, num_outs=3),
    # anchors of 8 to 192 px, a nodule's box has 13 to 33 px (quartiles)
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(strides=strides)),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=64, roi_layer=dict(sampling_ratio=2), featmap_strides=strides
        ),
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
