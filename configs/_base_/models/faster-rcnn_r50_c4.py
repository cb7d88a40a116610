# Without a pyramid, in PyTorch's style: caffe's weights of ImageNet expect images of another scale.
_base_ = 'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py'

imagenet = dict(type='Pretrained', checkpoint='torchvision://resnet50')
model = dict(
    # of 40 DeepLesion key slices, HU -1024 to 3071 on 0 to 255; for any number of channels
    data_preprocessor=dict(mean=[30.0], std=[31.0], bgr_to_rgb=False),
    backbone=dict(style='pytorch', init_cfg=imagenet),
    # ElixirNet follows 3DCE (Yan et al.), whose scales 2, 3, 4, 6, 12 at stride 8 are anchors of 16
    # to 96 px, as these are. At stride 16 they begin at 32 px; DeepLesion's median box is 30 px.
    rpn_head=dict(anchor_generator=dict(scales=[1, 1.5, 2, 3, 6])),
    roi_head=dict(
        shared_head=dict(style='pytorch', init_cfg=imagenet),
        bbox_head=dict(num_classes=1),
    ),
    # noisy and ignored boxes are no background
    train_cfg=dict(
        rpn=dict(assigner=dict(type='UncertainIoUAssigner', ignore_iof_thr=0.5)),
        rcnn=dict(assigner=dict(type='UncertainIoUAssigner', ignore_iof_thr=0.5)),
    ),
    # mmdet's 1000 are for COCO's many objects: a slice has a lesion or two
    test_cfg=dict(rpn=dict(max_per_img=300)),
)
