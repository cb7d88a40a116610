# Row (e): a quarter of the width, smaller patches, from random weights, on the proposals of row
# (d) in the phantom: minutes on two CPU cores.
_base_ = [
    '../../_base_/models/proposal_classifier_3d.py',
    '../../_base_/datasets/deeplesion_proposals.py',
    '../../_base_/schedules/schedule_short.py',
    '../../_base_/default_runtime.py',
]

data_root = 'data/phantom/'
patch = dict(_base_.patch, num_slices=9, size=48)
train_pipeline = [dict(patch, **_base_.augmentation), _base_.pack]
test_pipeline = [patch, _base_.pack]

model = dict(
    # mean and std of the phantom, HU -200 to 250 on 0 to 255: 34 and 59
    data_preprocessor=dict(hu_window=(-200, 250), value_range=(-34 / 59, 221 / 59)),
    backbone=dict(base_channels=16, init_cfg=None),
    in_channels=[16, 32, 64, 128],
    fc_out_channels=64,
)
train_dataloader = dict(num_workers=2, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(num_workers=2, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(num_workers=2, dataset=dict(data_root=data_root, pipeline=test_pipeline))

val_evaluator = dict(ann_file=data_root + 'manual_val.json')
test_evaluator = dict(ann_file=data_root + 'manual_test.json')
