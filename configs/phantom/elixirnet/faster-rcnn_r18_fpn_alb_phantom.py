# Ablation: auto-lesion blocks alone.
_base_ = [
    '../baselines/faster-rcnn_r18_fpn_phantom.py',
    '../../_base_/models/elixirnet_small_parts.py',
]

model = dict(roi_head=_base_.alb_head)
