# Ablation on the phantom, row 4: + attention gates, the paper's full network.
_base_ = './retinanet_r18_fpn_anchors-dense_phantom.py'

model = dict(neck=dict(type='AttentionGateFPN'), seg_head=dict(attention=True))
