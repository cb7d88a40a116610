# ElixirNet's parts, as variables that the configs of the ablation share.

# sections "TruncatedRPN" and "Implementation Details"; configs/baselines/README.md has what departs
# from the paper
trpn = dict(type='TruncatedRPNHead')

# "Ablative Analysis": focal loss in the RPN in place of TRPN. As in its own paper it is over all
# anchors, whose scores begin at 0.01; the paper says neither.
focal_rpn = dict(
    loss_cls=dict(type='FocalLoss'),
    init_cfg=dict(
        type='Normal',
        layer='Conv2d',
        std=0.01,
        override=dict(type='Normal', name='rpn_cls', std=0.01, bias_prob=0.01),
    ),
)
all_anchors = dict(sampler=dict(type='PseudoSampler'))

# "Implementation Details": a 3x3 convolution to 128 channels, 1 ALB and 2 ALBr with D = 32, which
# gives P = 512, and E = 128 in the relation transfer module
alb = dict(type='ALBEncoder', channels=32, num_reductions=2)
rtm = dict(type='RelationTransferModule', out_channels=128)
# for relation transfer without auto-lesion blocks: mmdet's head, its sizes those of the base config
two_fc = dict(type='FCEncoder')

alb_head = dict(type='RelationRoIHead', bbox_head=dict(type='RelationBBoxHead', encoder=alb))
rtm_head = dict(
    type='RelationRoIHead',
    bbox_head=dict(type='RelationBBoxHead', encoder=two_fc, relation_transfer=rtm),
)
alb_rtm_head = dict(
    type='RelationRoIHead',
    bbox_head=dict(type='RelationBBoxHead', encoder=alb, relation_transfer=rtm),
)
