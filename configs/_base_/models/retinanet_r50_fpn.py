_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

model = dict(
    # of 40 DeepLesion key slices, HU -1024 to 3071 on 0 to 255; for any number of channels
    data_preprocessor=dict(mean=[30.0], std=[31.0], bgr_to_rgb=False),
    # anchors from 16 px instead of mmdet's 32: DeepLesion's median box side is 30 px
    bbox_head=dict(num_classes=1, anchor_generator=dict(octave_base_scale=2)),
    # noisy and ignored boxes are no background
    train_cfg=dict(assigner=dict(type='UncertainIoUAssigner', ignore_iof_thr=0.5)),
)
