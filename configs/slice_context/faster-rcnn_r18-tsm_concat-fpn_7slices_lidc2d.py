# In the backbone and, as in the papers, behind it.
_base_ = './faster-rcnn_r18_fpn_7groups_lidc2d.py'

model = dict(backbone=dict(conv='TSM'))
