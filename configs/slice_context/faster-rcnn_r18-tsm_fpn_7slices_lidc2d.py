_base_ = './faster-rcnn_r18-a3d_fpn_7slices_lidc2d.py'

model = dict(backbone=dict(conv='TSM'))
