# Row (a): the phantom in DeepLesion's layout alone.
_base_ = './lens_small_phantom.py'

datasets = ['deeplesion']
model = dict(datasets=datasets)
train_dataloader = dict(dataset=dict(datasets=[_base_.deeplesion]))
