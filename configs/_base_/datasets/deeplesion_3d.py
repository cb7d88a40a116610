# DeepLesion's sub-volumes at 1 mm, crops of 64 x 128 x 128 (3D Aggregated Faster R-CNN, section V).
_base_ = './luna16.py'

data_root = 'data/deeplesion_3d/'
metainfo = dict(_delete_=True, classes=('lesion',))
options = dict(data_root=data_root, fold=None, metainfo=metainfo)
crop = dict(_base_.crop, crop_size=(64, 128, 128))
train_pipeline = [_base_.load, _base_.load_spheres, crop, _base_.flip, _base_.pack]

train_dataloader = dict(
    sampler=dict(crops_per_lesion=((0, 1),)),  # large ones are no rarity here
    dataset=dict(options, ann_file='train.json', pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(options, ann_file='val.json'))
# test_below_48mm.json ignores lesions of 48 mm and more
test_dataloader = dict(dataset=dict(options, ann_file='test.json'))
train_scan_dataloader = dict(dataset=dict(options, ann_file='train.json'))

fp_levels = (0.5, 1, 2, 4, 8, 16)  # of Table V
val_evaluator = dict(ann_file=data_root + 'val.json', fold=None, fp_levels=fp_levels)
# by type and size, as Table VI
groups = ('lesion_type', 'diameter')
test_evaluator = dict(
    ann_file=data_root + 'test.json', fold=None, fp_levels=fp_levels, groups=groups
)
