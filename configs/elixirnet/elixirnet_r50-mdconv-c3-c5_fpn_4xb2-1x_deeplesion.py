# The paper's "ElixirNet w Deformv2".
_base_ = [
    './faster-rcnn_r50-mdconv-c3-c5_fpn_4xb2-1x_deeplesion.py',
    '../_base_/models/elixirnet_parts.py',
]

model = dict(rpn_head=_base_.trpn, roi_head=_base_.alb_rtm_head)
