_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', './ct_detector_parts.py']

model = dict(
    data_preprocessor=_base_.ct_pixels,
    # anchors from 16 px instead of mmdet's 32: DeepLesion's median box side is 30 px
    bbox_head=dict(num_classes=1, anchor_generator=dict(octave_base_scale=2)),
    train_cfg=dict(assigner=_base_.lesion_assigner),
)
