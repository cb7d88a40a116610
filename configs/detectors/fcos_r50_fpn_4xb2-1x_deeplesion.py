_base_ = [
    '../_base_/models/fcos_r50_fpn.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_1x.py',
    '../_base_/default_runtime.py',
]

# mmdet's, whose 0.01 is for 16 images, scaled to 8
optim_wrapper = dict(
    optimizer=dict(lr=0.005),
    paramwise_cfg=dict(bias_lr_mult=2.0, bias_decay_mult=0.0),
    clip_grad=dict(max_norm=35, norm_type=2),
)
