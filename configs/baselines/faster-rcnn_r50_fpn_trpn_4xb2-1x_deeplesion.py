_base_ = './faster-rcnn_r50_fpn_4xb2-1x_deeplesion.py'

model = dict(rpn_head=dict(type='TruncatedRPNHead'))
