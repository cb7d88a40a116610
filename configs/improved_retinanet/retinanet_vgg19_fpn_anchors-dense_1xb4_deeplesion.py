# Ablation, row 3: + dense supervision, which moves the heads to P2 to P6.
_base_ = './retinanet_vgg19_fpn_1xb4_deeplesion.py'

model = dict(
    **_base_.dense_supervision,
    neck=dict(start_level=1),
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
