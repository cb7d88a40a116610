# Search of the auto-lesion blocks, for tools/search_alb.py: 16 channels, half of the blocks' own,
# on a trained and frozen feature extractor and RPN. The paper's batch of 16 is 4 GPUs x 4 images.
_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/models/elixirnet_parts.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_alb_search.py',
    '../_base_/default_runtime.py',
]

model = dict(
    rpn_head=_base_.trpn,
    roi_head=dict(
        type='RelationRoIHead',
        bbox_head=dict(type='RelationBBoxHead', encoder=dict(type='SearchALBEncoder', channels=16)),
    ),
)
train_dataloader = dict(
    batch_size=4, sampler=dict(_delete_=True, type='PatientHalfSampler', half=0, split_seed=0)
)
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='FreezeModulesHook', modules=['backbone', 'neck', 'rpn_head']),
]
load_from = 'work_dirs/faster-rcnn_r50_fpn_trpn_4xb2-1x_deeplesion/epoch_12.pth'
