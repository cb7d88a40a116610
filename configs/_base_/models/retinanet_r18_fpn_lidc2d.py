# RetinaNet for small windows, on two CPU cores: ResNet-18 up to stage 3 with ImageNet's weights,
# heads on P2 to P5 of 64 channels.
_base_ = ['./retinanet_r18_fpn_small.py', './resnet18_lidc2d.py']

model = dict(
    # of the training part, HU -1024 to 400 on 0 to 255; one value serves any number of slices
    data_preprocessor=dict(mean=[88.0], std=[77.0]),
    backbone=_base_.resnet18,
    neck=dict(in_channels=[64, 128, 256], start_level=0, num_outs=4),
    # anchors of 8 to 102 px, a nodule's box has 13 to 33 px (quartiles)
    bbox_head=dict(anchor_generator=dict(strides=[4, 8, 16, 32])),
)
