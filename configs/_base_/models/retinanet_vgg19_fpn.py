# RetinaNet as published, on VGG-19: anchors of 32 to 512 px on P3 to P7.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

model = dict(
    # images come in -1 to 1; what pads them is air
    data_preprocessor=dict(mean=None, std=None, bgr_to_rgb=False, pad_value=-1),
    backbone=dict(
        _delete_=True,
        type='VGG',
        depth=19,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://vgg19'),
    ),
    # C1 to C5, of which C3 to C5 are used
    neck=dict(in_channels=[64, 128, 256, 512, 512], start_level=2),
    bbox_head=dict(num_classes=1),
    # noisy and ignored boxes are no background
    train_cfg=dict(assigner=dict(type='UncertainIoUAssigner', ignore_iof_thr=0.5)),
    # an FROC to 16 false positives per image needs more than the 0.05 of COCO's detectors
    test_cfg=dict(score_thr=0.01),
)
