_base_ = [
    '../_base_/models/atss_r50_fpn.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]

# mmdet's 0.01 for 16 images, scaled to 8
optim_wrapper = dict(optimizer=dict(lr=0.005))
