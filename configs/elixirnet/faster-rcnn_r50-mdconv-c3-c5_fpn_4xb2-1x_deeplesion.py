# Modulated deformable convolutions (v2) in C3 to C5: the paper's "Deformv2".
_base_ = '../baselines/faster-rcnn_r50_fpn_4xb2-1x_deeplesion.py'

model = dict(
    backbone=dict(
        dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    )
)
