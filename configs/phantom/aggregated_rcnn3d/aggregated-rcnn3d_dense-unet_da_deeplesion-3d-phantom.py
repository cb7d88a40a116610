# 3D-AG on the phantom's sub-volumes, with the anchors for DeepLesion.
_base_ = [
    '../_base_/datasets/deeplesion_3d.py',
    '../_base_/models/aggregated_rcnn3d_small.py',
    '../_base_/schedules/schedule_3d.py',
    '../../_base_/default_runtime_3d.py',
]

model = dict(
    rpn_head=dict(anchor_generator=dict(diameters=[[3, 5, 7], [10, 13, 17], [22, 30, 40]])),
    roi_head=_base_.fprn,
)
max_epochs, rpn_epochs = 18, 5
train_cfg = dict(max_epochs=max_epochs, val_interval=6)
restarts = dict(
    _base_.restarts,
    end=max_epochs,
    periods=[rpn_epochs - 1, max_epochs - rpn_epochs],
    restart_weights=[1, 1],
)
param_scheduler = [_base_.warmup, restarts]
joint_training = dict(_base_.joint_training, rpn_epochs=rpn_epochs)
custom_hooks = [*_base_.custom_hooks, joint_training]
