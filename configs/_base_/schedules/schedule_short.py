# A few minutes on two CPU cores, from random weights.
max_epochs = 6
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.01),
    clip_grad=dict(max_norm=5, norm_type=2),
)
warmup = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=30)
cosine = dict(
    type='CosineAnnealingLR',
    by_epoch=True,
    begin=0,
    end=max_epochs,
    eta_min=1e-5,
    convert_to_iter_based=True,
)
param_scheduler = [warmup, cosine]
auto_scale_lr = dict(enable=False, base_batch_size=4)
