_base_ = [
    '../_base_/models/cascade-rcnn_r50_fpn.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]
