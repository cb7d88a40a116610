# Modulated deformable convolutions (v2) in C3 to C5: the paper's "Deformv2".
_base_ = [
    '../baselines/faster-rcnn_r50_fpn_4xb2-1x_deeplesion.py',
    '../_base_/models/deformable_parts.py',
]

model = dict(backbone=_base_.deformable)
