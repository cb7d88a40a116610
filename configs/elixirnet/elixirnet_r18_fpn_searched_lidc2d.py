# ElixirNet with the auto-lesion blocks that the differentiable search found on LIDC's windows.
_base_ = './faster-rcnn_r18_fpn_alb-searched_lidc2d.py'

model = dict(rpn_head=_base_.trpn, roi_head=_base_.alb_rtm_head)
