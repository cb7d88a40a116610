# LENS, section Implementation: RAdam, a learning rate of 1e-4 for batches of 4 images, 8 epochs, a
# tenth after the 4th and the 6th.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=8, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='RAdam', lr=1e-4))
steps = dict(type='MultiStepLR', by_epoch=True, begin=0, end=8, milestones=[4, 6], gamma=0.1)
param_scheduler = [steps]
auto_scale_lr = dict(enable=False, base_batch_size=4)
