_base_ = './faster-rcnn_r18_fpn_phantom.py'

model = dict(rpn_head=dict(type='TruncatedRPNHead'))
