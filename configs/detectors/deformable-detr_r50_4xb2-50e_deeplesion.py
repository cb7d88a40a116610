_base_ = [
    '../_base_/models/deformable-detr_r50.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_adamw.py',
    '../_base_/default_runtime.py',
]

# mmdet's 0.0002 for 32 images, scaled to 8
max_epochs = 50
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(
    optimizer=dict(lr=5e-5, weight_decay=1e-4),
    clip_grad=dict(max_norm=0.1, norm_type=2),
    paramwise_cfg=dict(
        custom_keys=dict(
            backbone=dict(lr_mult=0.1),
            sampling_offsets=dict(lr_mult=0.1),
            reference_points=dict(lr_mult=0.1),
        )
    ),
)
param_scheduler = [
    _base_.warmup,
    dict(type='MultiStepLR', begin=0, end=max_epochs, by_epoch=True, milestones=[40], gamma=0.1),
]
