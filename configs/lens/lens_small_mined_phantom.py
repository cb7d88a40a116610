# Row (d): row (c) with what tools/mine_annotations.py finds by row (c).
_base_ = './lens_small_phantom.py'

mined = dict(_base_.deeplesion, ann_file='train_mined.json')
train_dataloader = dict(dataset=dict(datasets=[mined, _base_.luna16, _base_.lits, _base_.nih_ln]))
