# Second stage, "FPN w finetune": a new head for the eight types, the rest frozen. The typed split
# has few slices, so the phantom's own optimizer and 12 epochs take the place of the paper's 6.
_base_ = [
    '../../_base_/models/faster-rcnn_r18_fpn_small.py',
    '../_base_/datasets/deeplesion.py',
    '../../_base_/datasets/deeplesion_type_names.py',
    '../_base_/schedules/schedule_2x.py',
    '../../_base_/default_runtime.py',
]

# as deeplesion_types.py has DeepLesion's, of
#     tools/dataset_converters/deeplesion.py --multi-type --out data/phantom/types
train_dataloader = dict(dataset=dict(ann_file='types/val.json', **_base_.typed))
val_dataloader = dict(dataset=dict(ann_file='types/val.json', **_base_.typed))
test_dataloader = dict(dataset=dict(ann_file='types/test.json', **_base_.typed))
val_evaluator = dict(ann_file=_base_.data_root + 'types/val.json', classwise=True)
test_evaluator = dict(ann_file=_base_.data_root + 'types/test.json', classwise=True)

model = dict(roi_head=dict(bbox_head=dict(num_classes=8)))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='FreezeModulesHook', modules=['backbone', 'neck', 'rpn_head']),
]
load_from = 'work_dirs/faster-rcnn_r18_fpn_phantom/epoch_6.pth'
