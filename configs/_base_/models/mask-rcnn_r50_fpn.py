# Faster R-CNN's base with mmdet's mask branch.
_base_ = ['./faster-rcnn_r50_fpn.py', './mask_branch_parts.py']

model = dict(
    **_base_.mask_rcnn,
    data_preprocessor=dict(pad_mask=True),
    roi_head=dict(mask_roi_extractor=_base_.mask_roi_extractor, mask_head=_base_.mask_head),
)
