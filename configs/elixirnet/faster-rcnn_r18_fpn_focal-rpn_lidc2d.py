# Ablation: focal loss in the RPN in place of TruncatedRPN.
_base_ = [
    '../baselines/faster-rcnn_r18_fpn_lidc2d.py',
    '../_base_/models/elixirnet_small_parts.py',
]

model = dict(rpn_head=_base_.focal_rpn, train_cfg=dict(rpn=_base_.all_anchors))
