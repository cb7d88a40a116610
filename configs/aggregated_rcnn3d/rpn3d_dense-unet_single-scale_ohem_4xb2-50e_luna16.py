# Table II, row a: all anchors on the level of 4 mm, online hard example mining.
_base_ = './rpn3d_dense-unet_single-scale_4xb2-50e_luna16.py'

model = dict(rpn_head=dict(loss_cls=dict(_delete_=True, type='HardNegativeLoss')))
