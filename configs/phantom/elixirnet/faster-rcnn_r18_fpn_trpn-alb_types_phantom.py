# Second stage, "ElixirNet w/o RTM".
_base_ = ['./faster-rcnn_r18_fpn_types_phantom.py', '../../_base_/models/elixirnet_small_parts.py']

model = dict(rpn_head=_base_.trpn, roi_head=_base_.alb_head)
load_from = 'work_dirs/faster-rcnn_r18_fpn_trpn-alb_phantom/epoch_6.pth'
