# Row (d): row (c) with what tools/mine_annotations.py finds by row (c).
_base_ = './lens_small_phantom.py'

mined = dict(_base_.deeplesion, ann_file='train_mined.json')
train_dataloader = dict(dataset=dict(datasets=[mined, _base_.luna16, _base_.lits, _base_.nih_ln]))

# as many steps as row (c) has in 6 epochs
max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [_base_.warmup, dict(_base_.cosine, end=max_epochs)]
