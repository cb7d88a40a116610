# Patches of single lesions at 0.8 mm (LENS, section VI-A), in pairs of two views of one lesion.
data_root = 'data/deeplesion/'
meta_keys = (
    'img_path',
    'img_shape',
    'ori_shape',
    'scale_factor',
    'patient_id',
    'lesion_type',
    'lesion_group',
)
load_nearby = dict(type='LoadNearbyCTSlices', num_slices=3, slice_interval=2.0)
load = dict(type='LoadCTSlices', num_slices=3, slice_interval=2.0)
load_boxes = dict(type='LoadAnnotations', with_bbox=True)
window = dict(type='WindowHU', windows=((-1024, 3071),), output_range=(0.0, 255.0))
spacing = dict(type='NormalizeSpacing', spacing=0.8)
affine = dict(type='RandomCTAffine', max_translate_ratio=0.02)
crop = dict(type='CropLesionPatch', size=120)
pack = dict(type='PackDetInputs', meta_keys=meta_keys)
train_pipeline = [load_nearby, load_boxes, window, spacing, affine, crop, pack]
test_pipeline = [load, load_boxes, window, spacing, crop, pack]
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
