# At most 20 minutes on two CPU cores, from ImageNet's weights.
_base_ = './schedule_short.py'

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(
    optimizer=dict(lr=5e-4), paramwise_cfg=dict(custom_keys=dict(backbone=dict(lr_mult=0.2)))
)
warmup = dict(_base_.warmup, end=100)
cosine = dict(_base_.cosine, end=max_epochs)
param_scheduler = [warmup, cosine]
auto_scale_lr = dict(base_batch_size=8)
