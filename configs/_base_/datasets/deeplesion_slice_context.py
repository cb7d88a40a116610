# DeepLesion as the authors' program of AlignShift and A3D loads it: 3 slices at 2 mm, HU -1024 to
# 2050, 512 px; flips, rotations of 15 degrees, scales of 0.8 to 1.2 and shifts of 4 %.
_base_ = './deeplesion.py'

window = dict(type='WindowHU', windows=((-1024, 2050),), output_range=(0.0, 255.0))
pack = dict(
    type='PackDetInputs', meta_keys=(*_base_.train_pipeline[-1].meta_keys, 'slice_distance')
)
train_pipeline = [
    *_base_.train_pipeline[:2],
    window,
    _base_.train_pipeline[3],
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandomCTAffine',
        max_rotate_degree=15.0,
        max_translate_ratio=0.04,
        scaling_ratio_range=(0.8, 1.2),
        max_shear_degree=0.0,
    ),
    pack,
]
test_pipeline = [_base_.test_pipeline[0], window, *_base_.test_pipeline[2:-1], pack]
flip_tta = dict(_base_.flip_tta, transforms=[_base_.flip_tta.transforms[0], [pack]])
tta_pipeline = [*test_pipeline[:-1], flip_tta]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
