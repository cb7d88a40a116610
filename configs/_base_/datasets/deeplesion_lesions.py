# Patches of single lesions at 0.8 mm (LENS, section VI-A), in pairs of two views of one lesion.
data_root = 'data/deeplesion/'
patch_size = 120
windows = ((-1024, 3071),)
meta_keys = (
    'img_path',
    'img_shape',
    'ori_shape',
    'scale_factor',
    'patient_id',
    'lesion_type',
    'lesion_group',
)
train_pipeline = [
    dict(type='LoadNearbyCTSlices', num_slices=3, slice_interval=2.0),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='WindowHU', windows=windows, output_range=(0.0, 255.0)),
    dict(type='NormalizeSpacing', spacing=0.8),
    dict(type='RandomCTAffine', max_translate_ratio=0.02),
    dict(type='CropLesionPatch', size=patch_size),
    dict(type='PackDetInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='LoadCTSlices', num_slices=3, slice_interval=2.0),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='WindowHU', windows=windows, output_range=(0.0, 255.0)),
    dict(type='NormalizeSpacing', spacing=0.8),
    dict(type='CropLesionPatch', size=patch_size),
    dict(type='PackDetInputs', meta_keys=meta_keys),
]
lesions = dict(type='LesionPatchDataset', data_root=data_root, data_prefix=dict(img='Images_png/'))

# DeepLesion types only its validation and test split: the types are learned from the former.
train_dataloader = dict(
    batch_size=64,
    num_workers=4,
    persistent_workers=False,
    drop_last=True,
    sampler=dict(type='LesionPairSampler', shuffle=True),
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(lesions, ann_file='train.json', pipeline=train_pipeline),
            dict(lesions, ann_file='val.json', pipeline=train_pipeline),
        ],
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=4,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(lesions, ann_file='test.json', test_mode=True, pipeline=test_pipeline),
)
test_evaluator = dict(type='LesionRetrievalMetric')
