_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', './ct_detector_parts.py']

model = dict(
    data_preprocessor=_base_.ct_pixels,
    rpn_head=dict(anchor_generator=_base_.five_scales),
    roi_head=dict(bbox_head=dict(num_classes=1)),
    train_cfg=dict(
        rpn=dict(assigner=_base_.lesion_assigner),
        rcnn=dict(assigner=_base_.lesion_assigner),
    ),
    # mmdet's 1000 are for COCO's many objects: a slice has a lesion or two
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=300)),
)
