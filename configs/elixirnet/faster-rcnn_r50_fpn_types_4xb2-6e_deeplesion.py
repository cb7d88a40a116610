# Second stage, "FPN w finetune": a new head for the eight types, the rest frozen.
_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/datasets/deeplesion_types.py',
    '../_base_/schedules/schedule_types.py',
    '../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=8)))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='FreezeModulesHook', modules=['backbone', 'neck', 'rpn_head']),
]
load_from = 'work_dirs/faster-rcnn_r50_fpn_4xb2-1x_deeplesion/epoch_12.pth'
