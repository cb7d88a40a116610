# Second stage, "ElixirNet".
_base_ = [
    './faster-rcnn_r50_fpn_types_4xb2-6e_deeplesion.py',
    '../_base_/models/elixirnet_parts.py',
]

model = dict(rpn_head=_base_.trpn, roi_head=_base_.alb_rtm_head)
load_from = 'work_dirs/elixirnet_r50_fpn_4xb2-1x_deeplesion/epoch_12.pth'
