# Second stage, "FPN w finetune": a new head for the eight types, the rest frozen. The typed split
# has few slices, so the phantom's own optimizer and 12 epochs take the place of the paper's 6.
_base_ = [
    '../../_base_/models/faster-rcnn_r18_fpn_small.py',
    '../_base_/datasets/deeplesion_types.py',
    '../_base_/schedules/schedule_2x.py',
    '../../_base_/default_runtime.py',
]

model = dict(roi_head=dict(bbox_head=dict(num_classes=8)))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='FreezeModulesHook', modules=['backbone', 'neck', 'rpn_head']),
]
load_from = 'work_dirs/faster-rcnn_r18_fpn_phantom/epoch_6.pth'
