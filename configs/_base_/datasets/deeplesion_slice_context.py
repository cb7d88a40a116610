# DeepLesion as the authors' program of AlignShift and A3D loads it: 3 slices at 2 mm, HU -1024 to
# 2050, 512 px; flips, rotations of 15 degrees, scales of 0.8 to 1.2 and shifts of 4 %.
_base_ = './deeplesion.py'

window = dict(type='WindowHU', windows=((-1024, 2050),), output_range=(0.0, 255.0))
mirror = dict(type='RandomFlip', prob=0.5)
affine = dict(
    type='RandomCTAffine',
    max_rotate_degree=15.0,
    max_translate_ratio=0.04,
    scaling_ratio_range=(0.8, 1.2),
    max_shear_degree=0.0,
)
pack = dict(_base_.pack, meta_keys=(*_base_.meta_keys, 'slice_distance'))
augment = [window, _base_.resize, mirror, affine]
prepare = [window, _base_.resize, _base_.load_boxes]
train_pipeline = [_base_.load, _base_.load_boxes, *augment, pack]
test_pipeline = [_base_.load, *prepare, pack]
flip_tta = dict(type='TestTimeAug', transforms=[_base_.both_ways, [pack]])
tta_pipeline = [_base_.load, *prepare, flip_tta]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
