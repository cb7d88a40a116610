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
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
    dict(
        type='MultiStepLR',
        by_epoch=True,
        begin=0,
        end=max_epochs,
        milestones=[max_epochs // 2, max_epochs * 4 // 5],
        gamma=0.1,
    ),
]
auto_scale_lr = dict(enable=False, base_batch_size=8)

# Section III-E, added to custom_hooks where there is an FPRN: the RPN first, for epochs that the
# paper does not name, then both.
joint_training = dict(type='BranchScheduleHook', rpn_epochs=20)
alternating_training = dict(type='BranchScheduleHook', rpn_epochs=20, alternate=1)
# while one branch is trained, the other's parameters have no gradients
find_unused_parameters = True
