_base_ = ['mmdet::_base_/models/cascade-rcnn_r50_fpn.py', './ct_detector_parts.py']

model = dict(
    data_preprocessor=_base_.ct_pixels,
    rpn_head=dict(anchor_generator=_base_.five_scales),
    roi_head=dict(
        bbox_head=[dict(head, num_classes=1) for head in _base_.model.roi_head.bbox_head]
    ),
    train_cfg=dict(
        rpn=dict(assigner=_base_.lesion_assigner),
        rcnn=[
            dict(stage, assigner=dict(stage.assigner, **_base_.lesion_assigner))
            for stage in _base_.model.train_cfg.rcnn
        ],
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=300)),
)
