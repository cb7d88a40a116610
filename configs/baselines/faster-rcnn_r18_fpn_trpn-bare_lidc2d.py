# TruncatedRPN with nothing that the paper does not mention: p * I alone.
_base_ = './faster-rcnn_r18_fpn_lidc2d.py'

model = dict(
    rpn_head=dict(
        type='TruncatedRPNHead',
        normalize_confidence=False,
        truncate_positives=True,
        loss_confidence=None,
    )
)
