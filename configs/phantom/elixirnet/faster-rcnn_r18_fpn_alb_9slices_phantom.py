# Ablation: auto-lesion blocks on nine slices.
_base_ = [
    './faster-rcnn_r18_fpn_9slices_phantom.py',
    '../../_base_/models/elixirnet_small_parts.py',
]

model = dict(roi_head=_base_.alb_head)
