# Relation transfer along relations of normalized features, instead of the paper's equation 2.
_base_ = './faster-rcnn_r18_fpn_rtm_lidc2d.py'

model = dict(roi_head=dict(bbox_head=dict(relation_temperature=20.0)))
