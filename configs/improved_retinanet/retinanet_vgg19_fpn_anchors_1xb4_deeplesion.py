# Ablation, row 2: + anchor optimization.
_base_ = './retinanet_vgg19_fpn_1xb4_deeplesion.py'

model = dict(bbox_head=dict(anchor_generator=dict(_delete_=True, **_base_.optimized_anchors)))
