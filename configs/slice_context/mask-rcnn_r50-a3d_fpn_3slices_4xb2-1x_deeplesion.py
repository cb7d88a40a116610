# Mask R-CNN on masks from RECIST diameters.
_base_ = './faster-rcnn_r50-a3d_fpn_3slices_4xb2-1x_deeplesion.py'

model = dict(
    type='MaskRCNN',
    roi_head=dict(mask_roi_extractor=_base_.mask_roi_extractor, mask_head=_base_.mask_head),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)

train_pipeline = [_base_.train_pipeline[0], _base_.load_masks, *_base_.train_pipeline[2:]]
# of tools/dataset_converters/recist_masks.py
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
