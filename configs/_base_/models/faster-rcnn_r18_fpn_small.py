# Faster R-CNN at a quarter of its width, from random weights: a demonstration for two CPU cores.
_base_ = './faster-rcnn_r50_fpn.py'

model = dict(
    # mean and std of the phantom, HU -200 to 250 on 0 to 255; one value serves any number of slices
    data_preprocessor=dict(mean=[34.0], std=[59.0]),
    backbone=dict(
        depth=18,
        base_channels=32,
        stem_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, roi_layer=dict(sampling_ratio=2)),
        bbox_head=dict(in_channels=64, fc_out_channels=256),
    ),
    # NMS of mmdet's 2000 proposals a level takes over half of a training step on a CPU.
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=300, max_per_img=300), rcnn=dict(sampler=dict(num=32))
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.01)),
)
