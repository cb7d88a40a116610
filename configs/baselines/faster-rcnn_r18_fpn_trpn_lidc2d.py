_base_ = './faster-rcnn_r18_fpn_lidc2d.py'

model = dict(rpn_head=dict(type='TruncatedRPNHead'))
