# The full network with a head of half the width and depth on P2, where most of its time goes, and
# fewer boxes before NMS.
_base_ = './retinanet_vgg19_ag-fpn_anchors-dense_1xb4_deeplesion.py'

model = dict(
    bbox_head=dict(type='LightP2RetinaHead', fine_feat_channels=128, fine_stacked_convs=2),
    test_cfg=dict(nms_pre=300),
)
