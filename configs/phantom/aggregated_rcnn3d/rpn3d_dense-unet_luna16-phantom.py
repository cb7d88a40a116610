_base_ = [
    '../_base_/datasets/luna16.py',
    '../_base_/models/aggregated_rcnn3d_small.py',
    '../_base_/schedules/schedule_3d.py',
    '../../_base_/default_runtime_folds.py',
]

# as large as the crops, so that most scans are tested in several
model = dict(test_cfg=dict(window=dict(size=(64, 64, 64))))
