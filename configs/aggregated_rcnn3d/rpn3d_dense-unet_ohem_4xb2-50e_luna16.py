# Table II, row c: online hard example mining instead of the focal loss.
_base_ = './rpn3d_dense-unet_4xb2-50e_luna16.py'

model = dict(rpn_head=dict(loss_cls=dict(_delete_=True, type='HardNegativeLoss')))
