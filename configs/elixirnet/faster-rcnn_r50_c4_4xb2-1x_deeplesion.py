# The paper's "FRCNN": no pyramid, C5 on each region.
_base_ = [
    '../_base_/models/faster-rcnn_r50_c4.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]
