# Mask R-CNN on masks from RECIST diameters.
_base_ = './faster-rcnn_r18-a3d_fpn_3slices_phantom.py'

model = dict(
    **_base_.mask_rcnn,
    roi_head=dict(
        mask_roi_extractor=dict(_base_.mask_roi_extractor, out_channels=64),
        mask_head=dict(_base_.mask_head, in_channels=64, conv_out_channels=64),
    ),
)

train_pipeline = [_base_.load, _base_.load_masks, *_base_.augment, _base_.pack]
# of tools/dataset_converters/recist_masks.py
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
