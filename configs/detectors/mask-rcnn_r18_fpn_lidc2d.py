_base_ = [
    '../_base_/models/mask-rcnn_r18_fpn_lidc2d.py',
    '../_base_/datasets/lidc2d.py',
    '../_base_/schedules/schedule_lidc2d.py',
    '../_base_/default_runtime.py',
]

# A lesion without a mask is neither a target nor background.
load_masks = dict(
    type='LoadLesionAnnotations', with_bbox=True, with_mask=True, ignore_unmasked=True
)
train_pipeline = [_base_.load, load_masks, *_base_.augment, _base_.pack]
# of tools/dataset_converters/recist_masks.py --recist-from-box --box-padding 0
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
