# The key slice alone: what the neighbors bring is the difference to the three-slice config.
_base_ = './faster-rcnn_r18_fpn_trpn_phantom.py'

load = dict(type='LoadCTSlices', num_slices=1)
train_pipeline = [load, *_base_.train_pipeline[1:]]
test_pipeline = [load, *_base_.test_pipeline[1:]]

model = dict(backbone=dict(in_channels=1))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
