# Search of the auto-lesion blocks on LIDC's windows: 8 channels, half of what the small blocks
# have, three epochs of 603 steps, of which two also update the architecture, on a trained and
# frozen feature extractor and RPN.
_base_ = [
    '../_base_/models/faster-rcnn_r18_fpn_lidc2d.py',
    '../_base_/models/elixirnet_small_parts.py',
    '../_base_/datasets/lidc2d.py',
    '../_base_/schedules/schedule_alb_search.py',
    '../_base_/default_runtime.py',
]

model = dict(
    rpn_head=_base_.trpn,
    roi_head=dict(
        type='RelationRoIHead',
        bbox_head=dict(type='RelationBBoxHead', encoder=dict(type='SearchALBEncoder', channels=8)),
    ),
)
# AdamW as in the rows on these windows. With the paper's rate for the architecture, Adam could move
# a parameter by 0.4 in 1,200 updates: here ten times as much.
max_epochs = 3
train_cfg = dict(max_epochs=max_epochs, architecture_begin=1, num_samples=30, num_score_batches=20)
optim_wrapper = dict(
    weights=dict(optimizer=dict(_delete_=True, type='AdamW', lr=5e-4, weight_decay=0.01)),
    architecture=dict(optimizer=dict(lr=3e-3)),
)
param_scheduler = dict(weights=[dict(_base_.cosine, end=max_epochs)])
train_dataloader = dict(
    batch_size=4, sampler=dict(_delete_=True, type='PatientHalfSampler', half=0, split_seed=0)
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='FreezeModulesHook', modules=['backbone', 'neck', 'rpn_head']),
]
load_from = 'work_dirs/faster-rcnn_r18_fpn_trpn_lidc2d/epoch_12.pth'
