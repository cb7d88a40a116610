# Real lung nodules in crops of 48 voxels: cubes of 64 voxels of 0.46 to 0.92 mm around LUNA16's
# nodules of LIDC-IDRI (docs/datasets.md#nodule-cubes), as they are, not resampled to 1 mm. There is
# no test part: `test` reads the validation part.
_base_ = './luna16.py'

data_root = 'data/nodule_cubes/'
metainfo = dict(_delete_=True, classes=('nodule',))
options = dict(data_root=data_root, fold=None, metainfo=metainfo)
crop = dict(_base_.crop, crop_size=(48, 48, 48), lesion_share=0.0)  # anywhere
train_pipeline = [_base_.load, _base_.load_spheres, crop, _base_.flip, _base_.pack]

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    dataset=dict(options, ann_file='train.json', by_lesion=False, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(options, ann_file='val.json'))
test_dataloader = dict(dataset=dict(options, ann_file='val.json'))
train_scan_dataloader = dict(dataset=dict(options, ann_file='train.json'))

val_evaluator = dict(ann_file=data_root + 'val.json', fold=None)
test_evaluator = val_evaluator
