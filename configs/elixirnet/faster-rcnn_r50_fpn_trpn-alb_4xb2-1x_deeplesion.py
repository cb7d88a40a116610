# Ablation: TruncatedRPN and auto-lesion blocks, the paper's "ElixirNet w/o RTM".
_base_ = [
    '../baselines/faster-rcnn_r50_fpn_4xb2-1x_deeplesion.py',
    '../_base_/models/elixirnet_parts.py',
]

model = dict(rpn_head=_base_.trpn, roi_head=_base_.alb_head)
