_base_ = [
    '../_base_/models/lesion_embedding.py',
    '../_base_/datasets/deeplesion_lesions.py',
    '../_base_/default_runtime.py',
]

max_epochs = 12
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs)
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.01))
warmup = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=200)
cosine = dict(
    type='CosineAnnealingLR',
    by_epoch=True,
    begin=0,
    end=max_epochs,
    eta_min=3e-6,
    convert_to_iter_based=True,
)
param_scheduler = [warmup, cosine]
# There is no validation split left, see the data.
default_hooks = dict(checkpoint=dict(save_best=None, rule=None))
