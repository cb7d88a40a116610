# Table II, row a: all anchors on the level of 4 mm, online hard example mining.
_base_ = './rpn3d_dense-unet_4xb2-50e_luna16.py'

model = dict(
    backbone=dict(out_indices=(0,)),
    rpn_head=dict(
        anchor_generator=dict(strides=[4], diameters=[[4, 6, 8, 12, 16, 24]]),
        loss_cls=dict(_delete_=True, type='HardNegativeLoss'),
    ),
)
