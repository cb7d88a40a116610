# A few minutes on two CPU cores, from random weights.
_base_ = './schedule_phantom.py'

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=4e-3), clip_grad=dict(max_norm=35))
param_scheduler = [
    _base_.param_scheduler[0],
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=0,
        end=max_epochs,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]

joint_training = dict(type='BranchScheduleHook', rpn_epochs=4)
alternating_training = dict(type='BranchScheduleHook', rpn_epochs=4, alternate=1)
find_unused_parameters = True
