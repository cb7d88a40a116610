# Table II, RPN: row (d) with region proposal networks, whose anchors and sampling are MULAN's.
_base_ = './lens_densenet121_1xb4-8e_4datasets.py'

mined = dict(_base_.deeplesion, ann_file='train_mined.json')
train_dataloader = dict(dataset=dict(datasets=[mined, _base_.luna16, _base_.lits, _base_.nih_ln]))
model = dict(
    rpn_head=dict(
        _delete_=True,
        type='RPNHead',
        in_channels=512,
        feat_channels=512,
        anchor_generator=dict(
            type='AnchorGenerator',
            scales=[4, 6, 8, 12, 24],  # 16, 24, 32, 48 and 96 px
            ratios=[0.5, 1.0, 2.0],
            strides=[4],
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True),
        loss_bbox=dict(type='SmoothL1Loss', beta=1.0 / 9),
    ),
    train_cfg=dict(
        rpn=dict(
            assigner=dict(
                type='UncertainIoUAssigner',
                pos_iou_thr=0.7,
                neg_iou_thr=0.3,
                min_pos_iou=0.3,
                match_low_quality=True,
                ignore_iof_thr=0.5,
            ),
            sampler=dict(
                type='RandomSampler',
                num=32,
                pos_fraction=0.5,
                neg_pos_ub=-1,
                add_gt_as_proposals=False,
            ),
            allowed_border=-1,
            pos_weight=-1,
        )
    ),
)
