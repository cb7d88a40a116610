# The full network on ResNet-50, which the paper found worse than VGG-19 (section 2.1).
_base_ = './retinanet_vgg19_ag-fpn_anchors-dense_1xb4_deeplesion.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='StemResNet',
        depth=50,
        frozen_stages=1,
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    neck=dict(in_channels=[64, 256, 512, 1024, 2048]),
)
