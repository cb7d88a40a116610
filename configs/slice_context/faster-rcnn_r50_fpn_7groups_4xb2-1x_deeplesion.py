# Seven slices that meet in the lateral convolutions of the pyramid alone: on volumes the backbone
# sees each slice once.
_base_ = './faster-rcnn_r50-a3d_fpn_3slices_4xb2-1x_deeplesion.py'

model = dict(
    backbone=dict(conv=None, num_slices=7),
    neck=dict(in_channels=[7 * 256, 7 * 512, 7 * 1024, 7 * 2048]),
)

train_pipeline = [_base_.load_7, _base_.load_boxes, *_base_.augment, _base_.pack]
test_pipeline = [_base_.load_7, *_base_.prepare, _base_.pack]
tta_pipeline = [_base_.load_7, *_base_.prepare, _base_.flip_tta]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
