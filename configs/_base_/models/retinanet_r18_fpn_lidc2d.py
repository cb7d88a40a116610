# RetinaNet for small windows, on two CPU cores: ResNet-18 up to stage 3 with ImageNet's weights,
# heads on P2 to P5 of 64 channels.
_base_ = './retinanet_r18_fpn_small.py'

model = dict(
    # of the training part, HU -1024 to 400 on 0 to 255; one value serves any number of slices
    data_preprocessor=dict(mean=[88.0], std=[77.0]),
    # faster-rcnn_r18_fpn_lidc2d.py says how to train with other weights, or with none
    backbone=dict(
        base_channels=64,
        frozen_stages=1,
        stem_channels=64,
        num_stages=3,
        strides=(1, 2, 2),
        dilations=(1, 1, 1),
        out_indices=(0, 1, 2),
        norm_eval=True,
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='data/weights/resnet18_imagenet_folded_c2c4.pth',
        ),
    ),
    neck=dict(in_channels=[64, 128, 256], start_level=0, num_outs=4),
    # anchors of 8 to 102 px, a nodule's box has 13 to 33 px (quartiles)
    bbox_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32])),
)
