# Ablation: relation transfer alone, on mmdet's two fully connected layers.
_base_ = [
    '../baselines/faster-rcnn_r50_fpn_4xb2-1x_deeplesion.py',
    '../_base_/models/elixirnet_parts.py',
]

model = dict(roi_head=_base_.rtm_head)
