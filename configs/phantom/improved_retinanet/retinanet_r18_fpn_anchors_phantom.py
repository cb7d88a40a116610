# Ablation on the phantom, row 2: + anchors optimized for the phantom's boxes and these strides.
_base_ = './retinanet_r18_fpn_default-anchors_phantom.py'

model = dict(bbox_head=dict(anchor_generator=dict(_delete_=True, **_base_.optimized_anchors)))
