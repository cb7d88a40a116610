# A3D's detector (MICCAI 2021): Mask R-CNN on masks from RECIST diameters.
_base_ = [
    '../_base_/models/faster-rcnn_densenet121_slice-context.py',
    '../_base_/models/slice_context_parts.py',
    '../_base_/datasets/deeplesion_slice_context.py',
    '../_base_/schedules/schedule_slice_context.py',
    '../_base_/default_runtime.py',
]

model = dict(
    **_base_.mask_rcnn,
    roi_head=dict(
        mask_roi_extractor=dict(_base_.mask_roi_extractor, out_channels=512, featmap_strides=[4]),
        mask_head=dict(_base_.mask_head, in_channels=512),
    ),
)

train_pipeline = [_base_.load, _base_.load_masks, *_base_.augment, _base_.pack]
# of tools/dataset_converters/recist_masks.py
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
