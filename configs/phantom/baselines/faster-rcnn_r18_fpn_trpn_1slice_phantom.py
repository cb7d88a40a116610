# The key slice alone: what the neighbors bring is the difference to the three-slice config.
_base_ = './faster-rcnn_r18_fpn_phantom.py'

load = dict(type='LoadCTSlices', num_slices=1)
train_pipeline = [load, _base_.load_boxes, *_base_.augment, _base_.pack]
test_pipeline = [load, *_base_.prepare, _base_.pack]
tta_pipeline = [load, *_base_.prepare, _base_.flip_tta]

model = dict(backbone=dict(in_channels=1), rpn_head=dict(type='TruncatedRPNHead'))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
