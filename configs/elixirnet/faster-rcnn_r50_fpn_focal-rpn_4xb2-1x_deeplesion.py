# Ablation: focal loss in the RPN in place of TruncatedRPN.
_base_ = [
    '../baselines/faster-rcnn_r50_fpn_4xb2-1x_deeplesion.py',
    '../_base_/models/elixirnet_parts.py',
]

model = dict(rpn_head=_base_.focal_rpn, train_cfg=dict(rpn=_base_.all_anchors))
