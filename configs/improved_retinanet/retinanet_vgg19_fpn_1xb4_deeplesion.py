# Ablation, row 1: the original RetinaNet, trained by the paper's recipe.
_base_ = [
    '../_base_/models/retinanet_vgg19_fpn.py',
    '../_base_/models/improved_retinanet_parts.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_plateau.py',
    '../_base_/default_runtime.py',
]

train_pipeline = [
    *_base_.train_pipeline[:2],
    _base_.hu_window,
    *_base_.train_pipeline[3:],
]
test_pipeline = [_base_.test_pipeline[0], _base_.hu_window, *_base_.test_pipeline[2:]]
tta_pipeline = [*test_pipeline[:-1], _base_.flip_tta]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))

custom_hooks = [*_base_.custom_hooks, _base_.early_stopping]
