# The synthetic data of tools/dataset_converters/make_phantom.py, at its native size, in a soft
# tissue window, whose contrasts random weights learn from in minutes.
_base_ = '../../../_base_/datasets/deeplesion.py'

data_root = 'data/phantom/'
window = dict(type='WindowHU', windows=((-200, 250),), output_range=(0.0, 255.0))
native_size = dict(type='Resize', scale_factor=1.0, keep_ratio=True)
augment = [window, native_size, _base_.flip, _base_.affine]
prepare = [window, native_size, _base_.load_boxes]
train_pipeline = [_base_.load, _base_.load_boxes, *augment, _base_.pack]
test_pipeline = [_base_.load, *prepare, _base_.pack]
tta_pipeline = [_base_.load, *prepare, _base_.flip_tta]

train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))

val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = dict(ann_file=data_root + 'test.json')
