# LENS, section Implementation, of the 3D FPR: RAdam, a learning rate of 2e-4 for batches of 32, 6
# epochs, a tenth after the 2nd and the 4th.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=6, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='RAdam', lr=2e-4))
param_scheduler = [
    dict(type='MultiStepLR', by_epoch=True, begin=0, end=6, milestones=[2, 4], gamma=0.1)
]
auto_scale_lr = dict(enable=False, base_batch_size=32)
