# The paper's "ElixirNet" without a pyramid: auto-lesion blocks on C4 in the place of C5.
_base_ = ['./faster-rcnn_r50_c4_4xb2-1x_deeplesion.py', '../_base_/models/elixirnet_parts.py']

model = dict(
    rpn_head=_base_.trpn,
    roi_head=dict(
        type='RelationRoIHead',
        shared_head=None,
        bbox_roi_extractor=dict(roi_layer=dict(output_size=7)),
        bbox_head=dict(_base_.alb_rtm_head.bbox_head, in_channels=1024),
    ),
)
