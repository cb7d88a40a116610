# The synthetic data of `make_phantom.py --layout kits19`, converted by kits19.py.
_base_ = './deeplesion_soft_tissue.py'

data_root = 'data/kits19_phantom/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))

val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = dict(ann_file=data_root + 'test.json')
