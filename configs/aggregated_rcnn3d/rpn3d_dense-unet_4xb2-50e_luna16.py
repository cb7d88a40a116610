# The RPN alone: Table II, row d.
_base_ = [
    '../_base_/datasets/luna16.py',
    '../_base_/models/aggregated_rcnn3d.py',
    '../_base_/schedules/schedule_3d_50e.py',
    '../_base_/default_runtime_folds.py',
]
