# The synthetic data of make_phantom.py --layout luna16, in crops of 64 voxels.
_base_ = '../../../_base_/datasets/luna16.py'

data_root = 'data/luna16_phantom/'
# half of the scans are tested, 30 in place of 6, unless LUNA16_FOLD names a fold
fold = {{'$LUNA16_FOLD:0,1,2,3,4'}}
crop = dict(_base_.crop, crop_size=(64, 64, 64))
train_pipeline = [_base_.load, _base_.load_spheres, crop, _base_.flip, _base_.pack]

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    dataset=dict(data_root=data_root, fold=fold, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(data_root=data_root, fold=fold))
test_dataloader = dict(dataset=dict(data_root=data_root, fold=fold))
train_scan_dataloader = dict(dataset=dict(data_root=data_root, fold=fold))

val_evaluator = dict(ann_file=data_root + 'luna16.json', fold=fold)
test_evaluator = val_evaluator
