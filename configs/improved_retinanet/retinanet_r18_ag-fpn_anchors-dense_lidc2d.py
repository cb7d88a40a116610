# Ablation on LIDC's windows, row 4: + attention gates, the paper's full network.
_base_ = './retinanet_r18_fpn_default-anchors_lidc2d.py'

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
# of tools/dataset_converters/recist_masks.py --recist-from-box --box-padding 0
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
