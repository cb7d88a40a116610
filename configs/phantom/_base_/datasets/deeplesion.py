# The synthetic data of tools/dataset_converters/make_phantom.py, at its native size.
_base_ = '../../../_base_/datasets/deeplesion.py'

data_root = 'data/phantom/'
native_size = dict(type='Resize', scale_factor=1.0, keep_ratio=True)
train_pipeline = [*_base_.train_pipeline[:3], native_size, *_base_.train_pipeline[4:]]
test_pipeline = [*_base_.test_pipeline[:2], native_size, *_base_.test_pipeline[3:]]
tta_pipeline = [*test_pipeline[:-1], _base_.flip_tta]

train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(data_root=data_root, pipeline=test_pipeline))

val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = dict(ann_file=data_root + 'test.json')
