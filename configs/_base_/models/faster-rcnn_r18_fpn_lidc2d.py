# Faster R-CNN for small windows, on two CPU cores: ResNet-18 up to stage 3 with ImageNet's weights,
# a pyramid of strides 4 to 16 and 64 channels.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    './ct_detector_parts.py',
    './resnet18_lidc2d.py',
    './lidc2d_detector_parts.py',
]

strides = _base_.lidc2d_strides
model = dict(
    data_preprocessor=dict(_base_.ct_pixels, **_base_.lidc2d_pixels),
    backbone=_base_.resnet18,
    neck=dict(in_channels=[64, 128, 256], out_channels=64, num_outs=3),
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        # anchors of 8 to 192 px, a nodule's box has 13 to 33 px (quartiles)
        anchor_generator=dict(_base_.five_scales, strides=strides),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            out_channels=64, roi_layer=dict(sampling_ratio=2), featmap_strides=strides
        ),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=1),
    ),
    train_cfg=dict(
        rpn=dict(assigner=_base_.lesion_assigner),
        rpn_proposal=dict(nms_pre=300, max_per_img=300),
        rcnn=dict(assigner=_base_.lesion_assigner, sampler=dict(num=32)),
    ),
    # RoIAlign of mmdet's 1000 proposals takes most of a test on a CPU; 300 find as many nodules
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=300), rcnn=dict(score_thr=0.01)),
)
