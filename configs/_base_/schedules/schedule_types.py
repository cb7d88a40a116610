# The second stage of ElixirNet, "Multi-type Lesion Detection": 6 epochs at 0.002. The paper names
# no steps, so the rate is constant; momentum and weight decay are those of the first stage.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=6, val_interval=6)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.002, momentum=0.9, weight_decay=0.0001),
)
param_scheduler = []
auto_scale_lr = dict(enable=False, base_batch_size=8)
