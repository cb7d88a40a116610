# Ablation: TruncatedRPN and relation transfer on mmdet's two fully connected layers.
_base_ = [
    '../baselines/faster-rcnn_r18_fpn_phantom.py',
    '../../_base_/models/elixirnet_small_parts.py',
]

model = dict(rpn_head=_base_.trpn, roi_head=_base_.rtm_head)
