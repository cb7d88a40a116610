# LENS, section Data: four datasets, nine slices at 2 mm, 0.8 mm per px, one window, black borders
# clipped, slices scaled by 0.8 to 1.2 and shifted by up to 8 px. MULAN's config, of which the paper
# takes its preprocessing and augmentation, adds the limit of 512 px and the exchange of the key
# slice for a neighbor. Another dataset is another entry of the list, of which each batch has one.
dataset_type = 'CTSliceDataset'
backend_args = None
meta_keys = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'spacing',
    'slice_interval',
    'slice_index',
    'grid_steps',
    'windows',
    'border_offset',
    'dataset_name',
)
window = dict(type='WindowHU', windows=((-1024, 3071),), output_range=(0.0, 255.0))
load = dict(type='LoadCTSlices', num_slices=9, slice_interval=2.0, backend_args=backend_args)

load_near_key = dict(load, key_reach=0.5)
load_boxes = dict(type='LoadAnnotations', with_bbox=True)
clip = dict(type='ClipBlackBorder')
spacing = dict(type='NormalizeSpacing', spacing=0.8, max_size=512)
shift = dict(
    type='RandomCTAffine',
    max_rotate_degree=0.0,
    max_translate_ratio=0.0,
    scaling_ratio_range=(1.0, 1.0),
    max_shear_degree=0.0,
    max_translate_px=8,
)
pack = dict(type='PackDetInputs', meta_keys=meta_keys)

augment = [clip, window, dict(spacing, ratio_range=(0.8, 1.2)), shift]
# Boxes after the resize: predictions are compared with the truth in the original image's pixels.
prepare = [clip, window, spacing, load_boxes]
train_pipeline = [load_near_key, load_boxes, *augment, pack]
test_pipeline = [load, *prepare, pack]

# test.py --tta: each slice and its mirror image. A config that changes test_pipeline changes this.
tta_model = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=50),
)
both_ways = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
flip_tta = dict(type='TestTimeAug', transforms=[both_ways, [pack]])
tta_pipeline = [load, *prepare, flip_tta]

# Slices without lesions stay in: the sampler draws one for two with lesions.
train_set = dict(
    type=dataset_type,
    ann_file='train.json',
    data_prefix=dict(img='Images_png/'),
    filter_cfg=dict(filter_empty_gt=False),
    pipeline=train_pipeline,
    backend_args=backend_args,
)
# mm by which a box exceeds its lesion on each side; those of the other datasets are tight
padded = dict(box_margin=4.0)
deeplesion = dict(train_set, dataset_name='deeplesion', data_root='data/deeplesion/')
luna16 = dict(train_set, dataset_name='luna16', data_root='data/luna16_slices/')
lits = dict(train_set, dataset_name='lits', data_root='data/lits/')
nih_ln = dict(train_set, dataset_name='nih_ln', data_root='data/nih_ln/')

train_dataloader = dict(
    batch_size=4,
    num_workers=4,
    persistent_workers=False,  # each epoch's augmentation is the same in a resumed run
    sampler=dict(type='LesionSliceSampler', positive_ratio=2),
    batch_sampler=dict(type='SingleDatasetBatchSampler'),
    dataset=dict(type='ConcatDataset', datasets=[deeplesion, luna16, lits, nih_ln]),
)
# Every slice of fully annotated sub-volumes of DeepLesion, and positions between those that are
# further apart than 2 mm, to which the paper resamples; mining and inference have them, too.
max_interval = 2.0
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        dataset_name='deeplesion',
        data_root='data/deeplesion/',
        metainfo=padded,
        ann_file='manual_val.json',
        data_prefix=dict(img='Images_png/'),
        test_mode=True,
        max_interval=max_interval,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        dataset_name='deeplesion',
        data_root='data/deeplesion/',
        metainfo=padded,
        ann_file='manual_test.json',
        data_prefix=dict(img='Images_png/'),
        test_mode=True,
        max_interval=max_interval,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)

val_evaluator = dict(type='FROCMetric', ann_file='data/deeplesion/manual_val.json')
test_evaluator = dict(type='FROCMetric', ann_file='data/deeplesion/manual_test.json')
