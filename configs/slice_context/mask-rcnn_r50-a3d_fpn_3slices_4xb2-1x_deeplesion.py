# Mask R-CNN on masks from RECIST diameters.
_base_ = './faster-rcnn_r50-a3d_fpn_3slices_4xb2-1x_deeplesion.py'

model = dict(
    **_base_.mask_rcnn,
    roi_head=dict(mask_roi_extractor=_base_.mask_roi_extractor, mask_head=_base_.mask_head),
)

train_pipeline = [_base_.load, _base_.load_masks, *_base_.augment, _base_.pack]
# of tools/dataset_converters/recist_masks.py
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
