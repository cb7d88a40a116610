# Ablation on LIDC's windows, row 1: the original RetinaNet, heads on P3 to P7 with its own anchors.
_base_ = [
    '../_base_/models/retinanet_r18_fpn_lidc2d.py',
    '../_base_/models/improved_retinanet_lidc2d_parts.py',
    '../_base_/datasets/lidc2d.py',
    '../_base_/schedules/schedule_lidc2d.py',
    '../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(type='StemResNet'),
    neck=dict(in_channels=[64, 64, 128, 256], start_level=2, num_outs=5),
    bbox_head=dict(
        anchor_generator=dict(octave_base_scale=4, strides=[8, 16, 32, 64, 128]),
    ),
)
