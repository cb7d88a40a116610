_base_ = './faster-rcnn_r18-a3d_fpn_3slices_lidc2d.py'

model = dict(backbone=dict(num_slices=7))

train_pipeline = [_base_.load_7, *_base_.train_pipeline[1:]]
test_pipeline = [_base_.load_7, *_base_.test_pipeline[1:]]
tta_pipeline = [*test_pipeline[:-1], _base_.flip_tta]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
