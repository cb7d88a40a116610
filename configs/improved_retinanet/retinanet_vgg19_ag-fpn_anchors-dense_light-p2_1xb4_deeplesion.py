# The full network with a narrower head on P2, where most of the full head's time goes.
_base_ = './retinanet_vgg19_ag-fpn_anchors-dense_1xb4_deeplesion.py'

model = dict(bbox_head=dict(type='LightP2RetinaHead', fine_feat_channels=96, fine_stacked_convs=2))
