_base_ = [
    '../_base_/datasets/deeplesion_3d.py',
    '../_base_/models/aggregated_rcnn3d.py',
    '../_base_/schedules/schedule_3d_50e.py',
    '../_base_/default_runtime_3d.py',
]

# section V-B
model = dict(
    rpn_head=dict(anchor_generator=dict(diameters=[[3, 5, 7], [10, 13, 17], [22, 30, 40]])),
    test_cfg=dict(window=dict(size=(64, 128, 128))),  # as the crops of training
)
