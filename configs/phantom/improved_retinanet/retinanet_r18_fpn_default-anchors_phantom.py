# Ablation on the phantom, row 1: the original RetinaNet. Random weights learn little in minutes
# from the paper's window, HU -1024 to 1050, so the rows on the phantom have one of soft tissue.
_base_ = [
    '../_base_/models/retinanet_r18_stem_fpn_small.py',
    '../../_base_/models/improved_retinanet_parts.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_2x.py',
    '../../_base_/default_runtime.py',
]

hu_window = dict(type='WindowHU', windows=((-200, 250),), output_range=(-1.0, 1.0))
train_pipeline = [
    *_base_.train_pipeline[:2],
    hu_window,
    *_base_.train_pipeline[3:],
]
test_pipeline = [_base_.test_pipeline[0], hu_window, *_base_.test_pipeline[2:]]
tta_pipeline = [*test_pipeline[:-1], _base_.flip_tta]
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
