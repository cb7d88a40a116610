# ElixirNet on kidney tumors.
_base_ = ['./faster-rcnn_r18_fpn_kits19_phantom.py', '../../_base_/models/elixirnet_small_parts.py']

model = dict(rpn_head=_base_.trpn, roi_head=_base_.alb_rtm_head)
