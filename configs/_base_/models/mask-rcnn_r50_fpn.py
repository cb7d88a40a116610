# Faster R-CNN's base with mmdet's mask branch.
_base_ = ['./faster-rcnn_r50_fpn.py', './mask_branch_parts.py']

model = dict(
    type='MaskRCNN',
    data_preprocessor=dict(pad_mask=True),
    roi_head=dict(
        mask_roi_extractor=_base_.mask_roi_extractor,
        mask_head=_base_.mask_head,
    ),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)
