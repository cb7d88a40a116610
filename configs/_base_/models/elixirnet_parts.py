# ElixirNet's parts, as variables that the configs of the ablation share.

# sections "TruncatedRPN" and "Implementation Details"; configs/baselines/README.md has what departs
# from the paper
trpn = dict(type='TruncatedRPNHead')

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
