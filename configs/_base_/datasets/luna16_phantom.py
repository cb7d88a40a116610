# The synthetic data of make_phantom.py --layout luna16, in crops of 64 voxels.
_base_ = './luna16.py'

data_root = 'data/luna16_phantom/'
crop = dict(_base_.train_pipeline[2], crop_size=(64, 64, 64))
train_pipeline = [*_base_.train_pipeline[:2], crop, *_base_.train_pipeline[3:]]

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    dataset=dict(data_root=data_root, crops_per_volume=4, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
train_scan_dataloader = dict(dataset=dict(data_root=data_root))

val_evaluator = dict(ann_file=data_root + 'luna16.json')
test_evaluator = val_evaluator
