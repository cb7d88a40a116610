# Table II, row e: the paper's other anchors.
_base_ = './rpn3d_dense-unet_4xb2-50e_luna16.py'

model = dict(
    rpn_head=dict(anchor_generator=dict(diameters=[[5, 10], [15, 20], [25, 35]])),
)
