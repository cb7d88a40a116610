# The full network with a head of half the width and depth on P2, and fewer boxes before NMS.
_base_ = './retinanet_r18_ag-fpn_anchors-dense_phantom.py'

model = dict(
    bbox_head=dict(type='LightP2RetinaHead', fine_feat_channels=24, fine_stacked_convs=1),
    test_cfg=dict(nms_pre=300),
)
