_base_ = './faster-rcnn_r18_fpn_phantom.py'

# From random weights, p * I alone teaches the confidence to truncate the lesions: the README has
# the figures. The paper's head has no loss_confidence.
model = dict(
    rpn_head=dict(
        type='TruncatedRPNHead',
        threshold='mean',
        loss_confidence=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
)
