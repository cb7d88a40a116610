# AdamW for 4 GPUs x 2 images; a config adds its epochs, learning rate and what lowers it.
train_cfg = dict(type='EpochBasedTrainLoop', val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW'))
warmup = dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500)
param_scheduler = [warmup]
auto_scale_lr = dict(enable=False, base_batch_size=8)
