# Row 2 with the paper's 1.78 and 3.27 read as squares of the aspect ratio (docs/anchors.md).
_base_ = './retinanet_vgg19_fpn_1xb4_deeplesion.py'

squared = dict(_base_.optimized_anchors, ratios=[1 / 1.808, 1 / 1.334, 1.0, 1.334, 1.808])
model = dict(bbox_head=dict(anchor_generator=dict(_delete_=True, **squared)))
