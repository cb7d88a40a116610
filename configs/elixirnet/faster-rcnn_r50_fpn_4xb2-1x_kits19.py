_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/datasets/kits19.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]
