# The synthetic data for the improved RetinaNet: random weights learn little in minutes from the
# paper's window, HU -1024 to 1050, so the rows on the phantom have one of soft tissue.
_base_ = '../../../_base_/datasets/deeplesion.py'

data_root = 'data/phantom/'
window = dict(type='WindowHU', windows=((-200, 250),), output_range=(-1.0, 1.0))
native_size = dict(type='Resize', scale_factor=1.0, keep_ratio=True)
augment = [window, native_size, _base_.flip, _base_.affine]
prepare = [window, native_size, _base_.load_boxes]
train_pipeline = [_base_.load, _base_.load_boxes, *augment, _base_.pack]
test_pipeline = [_base_.load, *prepare, _base_.pack]
tta_pipeline = [_base_.load, *prepare, _base_.flip_tta]

train_dataloader = dict(batch_size=4, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))

val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = dict(ann_file=data_root + 'test.json')
