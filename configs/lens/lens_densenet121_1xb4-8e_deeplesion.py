# Table I, row (a): the anchor-free proposal network, on DeepLesion alone.
_base_ = './lens_densenet121_1xb4-8e_4datasets.py'

datasets = ['deeplesion']
model = dict(datasets=datasets)
train_dataloader = dict(dataset=dict(datasets=[_base_.deeplesion]))
