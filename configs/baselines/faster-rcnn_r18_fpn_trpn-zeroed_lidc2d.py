# TruncatedRPN whose 3x3 convolution sees zeros at truncated locations, as equation 1 reads to the
# letter.
_base_ = './faster-rcnn_r18_fpn_lidc2d.py'

model = dict(rpn_head=dict(type='TruncatedRPNHead', truncate_features=True))
