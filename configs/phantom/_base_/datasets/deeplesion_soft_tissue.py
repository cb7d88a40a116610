# The synthetic data in a soft tissue window, whose contrasts random weights learn from in minutes.
_base_ = './deeplesion.py'

window = dict(type='WindowHU', windows=((-200, 250),), output_range=(0.0, 255.0))
train_pipeline = [*_base_.train_pipeline[:2], window, *_base_.train_pipeline[3:]]
test_pipeline = [_base_.test_pipeline[0], window, *_base_.test_pipeline[2:]]
tta_pipeline = [*test_pipeline[:-1], _base_.flip_tta]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
