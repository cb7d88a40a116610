# Faster R-CNN for small windows, on two CPU cores: ResNet-18 up to stage 3 with ImageNet's weights,
# a pyramid of strides 4 to 16 and 64 channels.
_base_ = './faster-rcnn_r18_fpn_small.py'

# Batch norm is folded into the convolutions: as in torchvision's weights ('torchvision://resnet18'
# takes their place) it has to stay as it is, norm_eval. Without weights, from random ones:
# --cfg-options model.backbone.init_cfg=None model.backbone.norm_eval=False
#     model.backbone.frozen_stages=-1
strides = [4, 8, 16]

model = dict(
    # of the training part, HU -1024 to 400 on 0 to 255; one value serves any number of slices
    data_preprocessor=dict(mean=[88.0], std=[77.0], pad_size_divisor=16),
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
    neck=dict(in_channels=[64, 128, 256], num_outs=3),
    # anchors of 8 to 192 px, a nodule's box has 13 to 33 px (quartiles)
    rpn_head=dict(anchor_generator=dict(strides=strides)),
    roi_head=dict(bbox_roi_extractor=dict(featmap_strides=strides)),
)
