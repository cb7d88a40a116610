# 3D Aggregated Faster R-CNN, section IV-B: 50 epochs. The paper names neither optimizer nor rates:
# those of [9], whose data preparation it follows: SGD, 0.01, lowered at one half and at 4/5.
max_epochs = 50
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=5)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=35, norm_type=2),
)
warmup = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500)
steps = dict(type='MultiStepLR', by_epoch=True, gamma=0.1)
# two steps back: what training begins with
restart = dict(type='MultiStepLR', by_epoch=True, begin=0, gamma=100.0)
param_scheduler = [
    warmup,
    dict(steps, begin=0, end=max_epochs, milestones=[max_epochs // 2, max_epochs * 4 // 5]),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)

# Section III-E: where there is an FPRN the RPN comes first, for epochs that the paper does not
# name, then both. Each of the two has a schedule of its own. To put into `param_scheduler`, and one
# of the hooks into `custom_hooks`.
rpn_epochs = 20
fprn_epochs = max_epochs - rpn_epochs
fprn_param_scheduler = [
    warmup,
    dict(steps, begin=0, end=rpn_epochs, milestones=[rpn_epochs // 2, rpn_epochs * 4 // 5]),
    dict(restart, end=max_epochs, milestones=[rpn_epochs]),
    # milestones count from `begin`
    dict(
        steps,
        begin=rpn_epochs,
        end=max_epochs,
        milestones=[fprn_epochs // 2, fprn_epochs * 4 // 5],
    ),
]
joint_training = dict(type='BranchScheduleHook', rpn_epochs=rpn_epochs)
alternating_training = dict(type='BranchScheduleHook', rpn_epochs=rpn_epochs, alternate=1)
# while one branch is trained, the other's parameters have no gradients
find_unused_parameters = True

# Section IV-B and IV-C: one round of anchor-based sampling, then 30 epochs more, with a schedule of
# their own, too. To add to `param_scheduler`.
abs_epochs = 30
max_epochs_abs = max_epochs + abs_epochs
abs_round = [
    dict(restart, end=max_epochs_abs, milestones=[max_epochs]),
    dict(
        steps,
        begin=max_epochs,
        end=max_epochs_abs,
        milestones=[abs_epochs // 2, abs_epochs * 4 // 5],
    ),
]
