# LENS at a fraction of its width and depth, from random weights: a demonstration for two CPU cores.
_base_ = '../../../_base_/models/lens.py'

model = dict(
    # mean and std of the phantom, HU -200 to 250 on 0 to 255; one value serves any number of slices
    data_preprocessor=dict(mean=[34.0], std=[59.0]),
    backbone=dict(
        backbone=dict(
            block_layers=(3, 4, 6),
            growth_rate=16,
            stem_channels=32,
            bottleneck_ratio=2,
            init_cfg=None,
        )
    ),
    neck=dict(in_channels=[80, 104, 148], out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64),
        shared_head=dict(in_channels=64, fc_out_channels=512),
        bbox_head=dict(in_channels=512),
    ),
    # NMS of so many proposals as in the paper's model takes over half of a step on a CPU.
    train_cfg=dict(rpn_proposal=dict(nms_pre=300, max_per_img=100)),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100)),
)
