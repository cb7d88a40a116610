# The paper's "Deformv2" on kidney tumors.
_base_ = './faster-rcnn_r50_fpn_4xb2-1x_kits19.py'

model = dict(
    backbone=dict(
        dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
        stage_with_dcn=(False, True, True, True),
    )
)
