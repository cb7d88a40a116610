# TruncatedRPN to the letter of the paper: p * I alone, of which the README has the figures.
_base_ = './faster-rcnn_r18_fpn_trpn_phantom.py'

model = dict(
    rpn_head=dict(normalize_confidence=False, truncate_positives=True, loss_confidence=None)
)
