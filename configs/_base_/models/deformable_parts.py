# ElixirNet's "Deformv2", as a variable: modulated deformable convolutions (v2) in C3 to C5 of
# a ResNet.
deformable = dict(
    dcn=dict(type='DCNv2', deform_groups=1, fallback_on_stride=False),
    stage_with_dcn=(False, True, True, True),
)
