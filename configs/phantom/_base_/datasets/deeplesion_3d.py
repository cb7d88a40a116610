# The synthetic data, from tools/dataset_converters/deeplesion_3d.py, in crops of 32 x 64 x 64.
_base_ = '../../../_base_/datasets/deeplesion_3d.py'

data_root = 'data/deeplesion_3d_phantom/'
crop = dict(_base_.crop, crop_size=(32, 64, 64))
train_pipeline = [_base_.load, _base_.load_spheres, crop, _base_.flip, _base_.pack]

train_dataloader = dict(
    batch_size=4, num_workers=2, dataset=dict(data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
train_scan_dataloader = dict(dataset=dict(data_root=data_root))

val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = dict(ann_file=data_root + 'test.json')
