_base_ = [
    '../_base_/models/fcos_r18_fpn_lidc2d.py',
    '../_base_/datasets/lidc2d.py',
    '../_base_/schedules/schedule_lidc2d.py',
    '../_base_/default_runtime.py',
]
