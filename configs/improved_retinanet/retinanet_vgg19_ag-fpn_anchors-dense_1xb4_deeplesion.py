# Ablation, row 4: + attention gates, the paper's full network.
_base_ = './retinanet_vgg19_fpn_anchors-dense_1xb4_deeplesion.py'

model = dict(neck=dict(type='AttentionGateFPN'), seg_head=dict(attention=True))
