# ElixirNet with the auto-lesion blocks that the differentiable search found on LIDC's windows.
_base_ = [
    '../baselines/faster-rcnn_r18_fpn_lidc2d.py',
    '../_base_/models/elixirnet_small_parts.py',
    '../_base_/models/alb_searched_lidc2d.py',
]

encoder = dict(_base_.alb, genotypes=_base_.genotypes)
bbox_head = dict(_base_.alb_rtm_head.bbox_head, encoder=encoder)
model = dict(rpn_head=_base_.trpn, roi_head=dict(_base_.alb_rtm_head, bbox_head=bbox_head))
