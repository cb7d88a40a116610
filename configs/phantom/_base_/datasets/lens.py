# The synthetic data of all four layouts, in a soft tissue window, whose contrasts random weights
# learn from in minutes.
_base_ = '../../../_base_/datasets/lens.py'

window = dict(type='WindowHU', windows=((-200, 250),), output_range=(0.0, 255.0))
augment = [_base_.clip, window, dict(_base_.spacing, ratio_range=(0.8, 1.2)), _base_.shift]
prepare = [_base_.clip, window, _base_.spacing, _base_.load_boxes]
train_pipeline = [_base_.load_near_key, _base_.load_boxes, *augment, _base_.pack]
test_pipeline = [_base_.load, *prepare, _base_.pack]
tta_pipeline = [_base_.load, *prepare, _base_.flip_tta]

train_set = dict(_base_.train_set, pipeline=train_pipeline)
deeplesion = dict(train_set, dataset_name='deeplesion', data_root='data/phantom/')
luna16 = dict(train_set, dataset_name='luna16', data_root='data/luna16_slices_phantom/')
lits = dict(train_set, dataset_name='lits', data_root='data/lits_phantom/')
nih_ln = dict(train_set, dataset_name='nih_ln', data_root='data/nih_ln_phantom/')

train_dataloader = dict(num_workers=2, dataset=dict(datasets=[deeplesion, luna16, lits, nih_ln]))
val_dataloader = dict(
    num_workers=2, dataset=dict(data_root='data/phantom/', pipeline=test_pipeline)
)
test_dataloader = dict(
    num_workers=2, dataset=dict(data_root='data/phantom/', pipeline=test_pipeline)
)

val_evaluator = dict(ann_file='data/phantom/manual_val.json')
test_evaluator = dict(ann_file='data/phantom/manual_test.json')
