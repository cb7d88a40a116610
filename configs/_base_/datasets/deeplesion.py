# Three slices at 2 mm, flips and affine maps of the improved RetinaNet (section 3.1); LENS' window.
dataset_type = 'CTSliceDataset'
data_root = 'data/deeplesion/'
backend_args = None
# mm by which a box exceeds its lesion on each side: 5 px of about 0.8 mm. Tight boxes have 0.
# Not of the training set: mmdet wants one metainfo of datasets that are trained on together.
metainfo = dict(box_margin=4.0)
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
    'windows',
    'border_offset',
)

# The transforms by name: a config that replaces one writes its pipelines with these names again.
load = dict(type='LoadCTSlices', num_slices=3, slice_interval=2.0, backend_args=backend_args)
load_boxes = dict(type='LoadAnnotations', with_bbox=True)
window = dict(type='WindowHU', windows=((-1024, 3071),), output_range=(0.0, 255.0))
resize = dict(type='Resize', scale=(512, 512), keep_ratio=True)
# Each way with a chance of one half.
flip = dict(
    type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']
)
affine = dict(type='RandomCTAffine')
pack = dict(type='PackDetInputs', meta_keys=meta_keys)

augment = [window, resize, flip, affine]
# Boxes after the resize: predictions are compared with the truth in the original image's pixels.
prepare = [window, resize, load_boxes]
train_pipeline = [load, load_boxes, *augment, pack]
test_pipeline = [load, *prepare, pack]

# test.py --tta: each slice and its mirror image. A config that changes test_pipeline changes this.
tta_model = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
)
both_ways = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
flip_tta = dict(type='TestTimeAug', transforms=[both_ways, [pack]])
tta_pipeline = [load, *prepare, flip_tta]

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=False,  # each epoch's augmentation is the same in a resumed run
    sampler=dict(type='DefaultSampler', shuffle=True),
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train.json',
        data_prefix=dict(img='Images_png/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
        backend_args=backend_args,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        ann_file='val.json',
        data_prefix=dict(img='Images_png/'),
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=metainfo,
        ann_file='test.json',
        data_prefix=dict(img='Images_png/'),
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)

val_evaluator = dict(type='FROCMetric', ann_file=data_root + 'val.json')
test_evaluator = dict(type='FROCMetric', ann_file=data_root + 'test.json')
