# The part of LIDC's windows that comes with the repository, at half of the width and from random
# weights: a few minutes on two CPU cores.
_base_ = './faster-rcnn_r18_fpn_lidc2d.py'

data_root = 'data/lidc_sample/'
model = dict(
    backbone=dict(
        base_channels=32,
        stem_channels=32,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=dict(_delete_=True, type='Kaiming', layer='Conv2d'),
    ),
    neck=dict(in_channels=[32, 64, 128]),
    rpn_head=dict(type='TruncatedRPNHead'),
)
train_dataloader = dict(
    sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True),
    dataset=dict(data_root=data_root),
)
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = dict(dataset=dict(data_root=data_root))
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = dict(ann_file=data_root + 'val.json')

max_epochs = 12
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
# from random weights everything learns at the same rate
optim_wrapper = dict(optimizer=dict(lr=1e-3), paramwise_cfg=dict(_delete_=True))
param_scheduler = [dict(_base_.warmup, end=50), dict(_base_.cosine, end=max_epochs)]
