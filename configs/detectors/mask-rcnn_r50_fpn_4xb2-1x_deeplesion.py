_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]

# A lesion without a mask is neither a target nor background.
load_masks = dict(
    type='LoadLesionAnnotations', with_bbox=True, with_mask=True, ignore_unmasked=True
)
train_pipeline = [_base_.load, load_masks, *_base_.augment, _base_.pack]
# of tools/dataset_converters/recist_masks.py
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
