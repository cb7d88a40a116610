# DeepLesion as the improved RetinaNet reads it (section 3.1): HU -1024 to 1050 on -1 to 1,
# batches of four.
_base_ = './deeplesion.py'

window = dict(type='WindowHU', windows=((-1024, 1050),), output_range=(-1.0, 1.0))
augment = [window, _base_.resize, _base_.flip, _base_.affine]
prepare = [window, _base_.resize, _base_.load_boxes]
train_pipeline = [_base_.load, _base_.load_boxes, *augment, _base_.pack]
test_pipeline = [_base_.load, *prepare, _base_.pack]
tta_pipeline = [_base_.load, *prepare, _base_.flip_tta]

train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
