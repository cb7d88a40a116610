_base_ = [
    '../_base_/models/rtmdet_s.py',
    '../_base_/datasets/deeplesion.py',
    '../_base_/schedules/schedule_adamw.py',
    '../_base_/default_runtime.py',
]

# mmdet's 0.004 for 256 images, scaled to 8; no mosaics, and so not its 300 epochs
max_epochs = 36
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(
    optimizer=dict(lr=1.25e-4, weight_decay=0.05),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bypass_duplicate=True),
)
param_scheduler = [
    _base_.warmup,
    dict(
        type='CosineAnnealingLR',
        begin=max_epochs // 2,
        end=max_epochs,
        T_max=max_epochs // 2,
        eta_min=6.25e-6,
        by_epoch=True,
        convert_to_iter_based=True,
    ),
]
