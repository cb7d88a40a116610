_base_ = 'mmdet::_base_/models/faster-rcnn_r50_fpn.py'

model = dict(
    # of 40 DeepLesion key slices, HU -1024 to 3071 on 0 to 255; for any number of channels
    data_preprocessor=dict(mean=[30.0], std=[31.0], bgr_to_rgb=False),
    # ElixirNet's five scales: mmdet's single one begins at 32 px, DeepLesion's median box is 30 px
    rpn_head=dict(anchor_generator=dict(scales=[2, 3, 4, 6, 12])),
    roi_head=dict(bbox_head=dict(num_classes=1)),
    # noisy and ignored boxes are no background
    train_cfg=dict(
        rpn=dict(assigner=dict(type='UncertainIoUAssigner', ignore_iof_thr=0.5)),
        rcnn=dict(assigner=dict(type='UncertainIoUAssigner', ignore_iof_thr=0.5)),
    ),
    # mmdet's 1000 are for COCO's many objects: a slice has a lesion or two
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=300)),
)
