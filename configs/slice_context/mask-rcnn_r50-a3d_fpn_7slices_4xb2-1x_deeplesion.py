# Mask R-CNN on masks from RECIST diameters.
_base_ = './faster-rcnn_r50-a3d_fpn_3slices_4xb2-1x_deeplesion.py'

model = dict(
    **_base_.mask_rcnn,
    backbone=dict(num_slices=7),
    neck=dict(in_channels=[7 * 256, 7 * 512, 7 * 1024, 7 * 2048]),
    roi_head=dict(mask_roi_extractor=_base_.mask_roi_extractor, mask_head=_base_.mask_head),
)

train_pipeline = [_base_.load_7, _base_.load_masks, *_base_.augment, _base_.pack]
test_pipeline = [_base_.load_7, *_base_.prepare, _base_.pack]
tta_pipeline = [_base_.load_7, *_base_.prepare, _base_.flip_tta]
# of tools/dataset_converters/recist_masks.py
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
