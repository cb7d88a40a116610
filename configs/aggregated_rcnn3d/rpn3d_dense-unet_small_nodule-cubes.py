# The RPN alone, at half the width, on real nodules: minutes on two CPU cores.
_base_ = [
    '../_base_/datasets/nodule_cubes.py',
    '../phantom/_base_/models/aggregated_rcnn3d_small.py',
    '../phantom/_base_/schedules/schedule_3d.py',
    '../_base_/default_runtime_3d.py',
]

model = dict(test_cfg=dict(window=dict(size=(48, 48, 48))))
