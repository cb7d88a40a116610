# The full network with a narrower head on P2: 18 of 48 channels, as 96 of 256 in the large one.
_base_ = './retinanet_r18_ag-fpn_anchors-dense_phantom.py'

model = dict(bbox_head=dict(type='LightP2RetinaHead', fine_feat_channels=18, fine_stacked_convs=2))
