# Relation transfer along relations of normalized features, instead of the paper's equation 2.
_base_ = [
    '../baselines/faster-rcnn_r18_fpn_lidc2d.py',
    '../_base_/models/elixirnet_small_parts.py',
]

bbox_head = dict(_base_.rtm_head.bbox_head, relation_temperature=20.0)
model = dict(roi_head=dict(_base_.rtm_head, bbox_head=bbox_head))
