# Ablation on the phantom, row 4: + attention gates, the paper's full network.
_base_ = [
    '../_base_/models/retinanet_r18_stem_fpn_small.py',
    '../_base_/models/improved_retinanet_small_parts.py',
    '../_base_/datasets/deeplesion_retinanet.py',
    '../_base_/schedules/schedule_2x.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    **_base_.gated_supervision,
    neck=dict(type='AttentionGateFPN', start_level=1),
    bbox_head=dict(anchor_generator=dict(_delete_=True, **_base_.dense_anchors)),
)

train_pipeline = [
    _base_.load,
    _base_.load_masks,
    *_base_.augment,
    _base_.masks_to_target,
    _base_.pack,
]
# of tools/dataset_converters/recist_masks.py
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
