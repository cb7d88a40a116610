# The full network on VGG-19 with batch normalization.
_base_ = './retinanet_vgg19_ag-fpn_anchors-dense_1xb4_deeplesion.py'

model = dict(backbone=dict(with_bn=True, init_cfg=dict(checkpoint='torchvision://vgg19_bn')))
