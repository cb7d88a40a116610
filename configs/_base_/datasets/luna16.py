# LUNA16 at 1 mm, crops of 128 voxels (3D Aggregated Faster R-CNN, section Data Preparation).
# The subset that is tested, 0 to 9, is that of the environment: LUNA16_FOLD=3 tools/train.py ...
fold = {{'$LUNA16_FOLD:0'}}
dataset_type = 'VolumeDataset'
data_root = 'data/luna16/'
metainfo = dict(
    classes=('nodule',),
    # As the converter makes volumes by default; tools/infer.py does the same to a scan.
    preparation=dict(lungs=dict(margin=10.0, outside='fill')),
)
backend_args = None

load = dict(type='LoadVolume')
load_spheres = dict(type='LoadSphereAnnotations')
crop = dict(type='RandomLesionCrop', crop_size=(128, 128, 128), scale_range=(0.8, 1.15))
flip = dict(type='RandomFlip3D', prob=0.5)
pack = dict(type='PackVolumeInputs')
train_pipeline = [load, load_spheres, crop, flip, pack]
test_pipeline = [load, load_spheres, pack]

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=False,  # each epoch's crops are the same in a resumed run
    # Of each nodule one crop an epoch, of those over 10 and 20 mm 3 and 7; 30 % lie anywhere.
    sampler=dict(type='LesionCropSampler', crops_per_lesion=((0, 1), (10, 3), (20, 7))),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='luna16.json',
        metainfo=metainfo,
        fold=fold,
        split='train',
        by_lesion=True,
        pipeline=train_pipeline,
        backend_args=backend_args,
    ),
)
# LUNA16 has no validation set: the fold that is tested is looked at while training, too.
val_dataloader = dict(
    batch_size=1,
    num_workers=0,  # scans stay in their mapped files; a worker would copy them whole
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='luna16.json',
        metainfo=metainfo,
        fold=fold,
        split='test',
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)
test_dataloader = val_dataloader

# For HardCropHook: the whole scans that are trained on.
train_scan_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='luna16.json',
        metainfo=metainfo,
        fold=fold,
        split='train',
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)

val_evaluator = dict(type='FROCMetric', ann_file=data_root + 'luna16.json', fold=fold)
test_evaluator = val_evaluator
