# A few minutes on two CPU cores, from random weights.
_base_ = '../../../_base_/schedules/schedule_short.py'

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=4e-3), clip_grad=dict(max_norm=35))
restarts = dict(
    type='CosineRestartLR', by_epoch=True, begin=1, eta_min=1e-5, convert_to_iter_based=True
)
param_scheduler = [
    _base_.warmup,  # ends within the first epoch
    dict(restarts, end=max_epochs, periods=[max_epochs - 1], restart_weights=[1]),
]

# as in schedule_3d_50e.py: the rate begins again when the FPRN comes
rpn_epochs = 4
fprn_param_scheduler = [
    _base_.warmup,
    dict(
        restarts,
        end=max_epochs,
        periods=[rpn_epochs - 1, max_epochs - rpn_epochs],
        restart_weights=[1, 1],
    ),
]
joint_training = dict(type='BranchScheduleHook', rpn_epochs=rpn_epochs)
alternating_training = dict(type='BranchScheduleHook', rpn_epochs=rpn_epochs, alternate=1)
find_unused_parameters = True
