# The paper's "ElixirNet w Deformv2" on kidney tumors.
_base_ = [
    './faster-rcnn_r50_fpn_4xb2-1x_kits19.py',
    '../_base_/models/elixirnet_parts.py',
    '../_base_/models/deformable_parts.py',
]

model = dict(backbone=_base_.deformable, rpn_head=_base_.trpn, roi_head=_base_.alb_rtm_head)
