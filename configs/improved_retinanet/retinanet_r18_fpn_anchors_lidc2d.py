# Ablation on LIDC's windows, row 2: + anchors optimized for the nodules' boxes and these strides.
_base_ = './retinanet_r18_fpn_default-anchors_lidc2d.py'

model = dict(bbox_head=dict(anchor_generator=dict(_delete_=True, **_base_.optimized_anchors)))
