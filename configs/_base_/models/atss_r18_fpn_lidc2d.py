_base_ = ['./atss_r18_fpn_small.py', './resnet18_lidc2d.py', './lidc2d_detector_parts.py']

model = dict(
    data_preprocessor=_base_.lidc2d_pixels,
    backbone=_base_.resnet18,
    neck=dict(in_channels=[64, 128, 256], start_level=0, num_outs=3),
    # anchors of 8 to 32 px, a nodule's box has 13 to 33 px (quartiles)
    bbox_head=dict(anchor_generator=dict(strides=_base_.lidc2d_strides)),
)
