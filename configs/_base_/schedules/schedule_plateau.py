# The improved RetinaNet, "Training": Adam, and both plateaus by the mAP on the validation set.
# The paper names no last epoch; early stopping comes before this one.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=50, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
param_scheduler = [
    dict(
        type='ReduceOnPlateauLR',
        monitor='froc/mAP',
        rule='greater',
        factor=0.1,
        # after so many epochs without improvement, the next one lowers the rate: the second
        patience=1,
        threshold=0.0,
    )
]
# added to custom_hooks where this schedule is used
early_stopping = dict(
    type='ResumableEarlyStoppingHook',
    monitor='froc/mAP',
    rule='greater',
    min_delta=1e-6,
    patience=4,
)
auto_scale_lr = dict(enable=False, base_batch_size=4)
