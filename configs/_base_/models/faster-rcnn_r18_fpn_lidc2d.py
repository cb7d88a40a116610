# Faster R-CNN for small windows, on two CPU cores: ResNet-18 up to stage 3 with ImageNet's weights,
# a pyramid of strides 4 to 16 and 64 channels.
_base_ = ['./faster-rcnn_r18_fpn_small.py', './resnet18_lidc2d.py']

strides = [4, 8, 16]

model = dict(
    # of the training part, HU -1024 to 400 on 0 to 255; one value serves any number of slices
    data_preprocessor=dict(mean=[88.0], std=[77.0], pad_size_divisor=16),
    backbone=_base_.resnet18,
    neck=dict(in_channels=[64, 128, 256], num_outs=3),
    # anchors of 8 to 192 px, a nodule's box has 13 to 33 px (quartiles)
    rpn_head=dict(anchor_generator=dict(strides=strides)),
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=strides)),
    # RoIAlign of mmdet's 1000 proposals takes most of a test on a CPU; 300 find as many nodules
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=300)),
)
