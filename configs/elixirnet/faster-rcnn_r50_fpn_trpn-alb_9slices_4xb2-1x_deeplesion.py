# Ablation: TruncatedRPN and auto-lesion blocks on nine slices.
_base_ = [
    './faster-rcnn_r50_fpn_9slices_4xb2-1x_deeplesion.py',
    '../_base_/models/elixirnet_parts.py',
]

model = dict(rpn_head=_base_.trpn, roi_head=_base_.alb_head)
