# LENS' network on LIDC's windows, one dataset: row (a), with ImageNet's weights and heads of a
# quarter of their width. A window has no black border and is not resampled: it comes as the
# baselines see it.
_base_ = [
    '../_base_/models/lens.py',
    '../_base_/datasets/lidc2d.py',
    '../_base_/schedules/schedule_lidc2d.py',
    '../_base_/default_runtime.py',
]

datasets = ['lidc2d']
model = dict(
    datasets=datasets,
    data_preprocessor=dict(mean=[88.0], std=[77.0]),
    backbone=dict(
        backbone=dict(
            norm_eval=True,
            init_cfg=dict(checkpoint='data/weights/densenet121_blocks123_from_densenet169.pth'),
        )
    ),
    neck=dict(out_channels=128),
    rpn_head=dict(in_channels=128, feat_channels=128),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=128),
        shared_head=dict(in_channels=128, fc_out_channels=512),
        bbox_head=dict(in_channels=512),
    ),
    train_cfg=dict(rpn_proposal=dict(nms_pre=300, max_per_img=100)),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=100)),
)

max_epochs = 4
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = [_base_.warmup, dict(_base_.cosine, end=max_epochs)]

load = dict(type='LoadCTSlices', num_slices=9, slice_interval=2.0)
load_near_key = dict(load, key_reach=0.5)
pack = dict(type='PackDetInputs', meta_keys=(*_base_.meta_keys, 'dataset_name'))
train_pipeline = [load_near_key, _base_.load_boxes, *_base_.augment, pack]
test_pipeline = [load, *_base_.prepare, pack]
flip_tta = dict(type='TestTimeAug', transforms=[_base_.both_ways, [pack]])
tta_pipeline = [load, *_base_.prepare, flip_tta]

train_dataloader = dict(
    batch_size=4,
    dataset=dict(dataset_name='lidc2d', pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(dataset_name='lidc2d', pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(dataset_name='lidc2d', pipeline=test_pipeline))
