# Search of the auto-lesion blocks on the synthetic data, in minutes on one CPU core: 8 channels,
# half of what the blocks have in elixirnet_small_parts.py.
_base_ = [
    '../../_base_/models/faster-rcnn_r18_fpn_small.py',
    '../../_base_/models/elixirnet_small_parts.py',
    '../_base_/datasets/deeplesion.py',
    '../../_base_/schedules/schedule_alb_search.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    rpn_head=_base_.trpn,
    roi_head=dict(
        type='RelationRoIHead',
        bbox_head=dict(type='RelationBBoxHead', encoder=dict(type='SearchALBEncoder', channels=8)),
    ),
)
# 53 steps an epoch: AdamW, with which the phantom's detectors learn from random weights (SGD hardly
# moves the head in as many steps), and a hundred times the paper's rate for the architecture.
max_epochs = 7
train_cfg = dict(max_epochs=max_epochs, architecture_begin=2, num_samples=30, num_score_batches=10)
optim_wrapper = dict(
    weights=dict(optimizer=dict(_delete_=True, type='AdamW', lr=1e-3, weight_decay=0.01)),
    architecture=dict(optimizer=dict(lr=3e-2)),
)
param_scheduler = dict(weights=[dict(_base_.cosine, end=max_epochs)])
train_dataloader = dict(
    batch_size=4, sampler=dict(_delete_=True, type='PatientHalfSampler', half=0, split_seed=0)
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='FreezeModulesHook', modules=['backbone', 'neck', 'rpn_head']),
]
load_from = 'work_dirs/faster-rcnn_r18_fpn_trpn_phantom/epoch_6.pth'
