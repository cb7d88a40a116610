# Table I, row (d): row (c) with what tools/mine_annotations.py finds in DeepLesion by row (c).
_base_ = './lens_densenet121_1xb4-8e_4datasets.py'

mined = dict(_base_.deeplesion, ann_file='train_mined.json')
train_dataloader = dict(dataset=dict(datasets=[mined, _base_.luna16, _base_.lits, _base_.nih_ln]))
