# Faster R-CNN of A3D (MICCAI 2021) on the truncated DenseNet-121 of 3 slices: anchors, samples,
# widths and losses of the authors' program. Its convolution over the slices on each level is
# SliceGroupFusion; the path to stride 4, at which its one feature map lies, SliceFusionFPN.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', './ct_detector_parts.py']

channels = [256, 512, 1024]
slice_fusion = dict(type='SliceGroupFusion', in_channels=channels, num_groups=3)
slice_pyramid = dict(type='SliceFusionFPN', in_channels=channels, out_channels=512, num_groups=1)

model = dict(
    # from mean 30 and std 31 of HU -1024 to 3071, on HU -1024 to 2050
    data_preprocessor=dict(_base_.ct_pixels, mean=[40.0], std=[41.0]),
    backbone=dict(
        _delete_=True,
        type='SliceContextBackbone',
        conv=dict(type='A3DConv', noise=0.1),
        convs='denselayer',
        num_slices=3,
        fuse='concat',
        backbone=dict(
            type='TruncatedDenseNet',
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://densenet121'),
        ),
    ),
    neck=[slice_fusion, slice_pyramid],
    rpn_head=dict(
        in_channels=512,
        feat_channels=512,
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            scales=[4, 6, 8, 12, 24, 48],
            ratios=[0.5, 1.0, 2.0],
            strides=[4],
            base_sizes=[4],
        ),
        loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1 / 9, loss_weight=1.0),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            roi_layer=dict(sampling_ratio=2), out_channels=512, featmap_strides=[4]
        ),
        bbox_head=dict(
            in_channels=512,
            fc_out_channels=2048,
            num_classes=1,
            loss_bbox=dict(_delete_=True, type='SmoothL1Loss', beta=1.0, loss_weight=1.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(assigner=_base_.lesion_assigner, sampler=dict(num=32), allowed_border=0),
        rpn_proposal=dict(nms_pre=12000, max_per_img=2000),
        rcnn=dict(assigner=_base_.lesion_assigner, sampler=dict(num=64)),
    ),
    test_cfg=dict(
        rpn=dict(nms_pre=6000, max_per_img=300), rcnn=dict(score_thr=0.001, max_per_img=50)
    ),
)

sync_bn = 'torch'
