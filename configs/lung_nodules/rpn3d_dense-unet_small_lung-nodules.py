# Lung nodules in whole chests: the RPN of 3D Aggregated Faster R-CNN at half its width, on cubes
# around nodules and on chests with pasted nodules, in crops of 48 voxels of 1 mm. Half of the crops
# lie anywhere, nearly all of these in chests; after the first epoch half of them are where the
# detector is wrong. Validation pastes nodules of other patients into the same chests: see
# rpn3d_dense-unet_small_lung-nodules-fold.py for chests that are not trained on.
_base_ = [
    '../_base_/datasets/luna16.py',
    '../phantom/_base_/models/aggregated_rcnn3d_small.py',
    '../phantom/_base_/schedules/schedule_3d.py',
    '../_base_/default_runtime_3d.py',
]

data_root = 'data/lung_nodules/'
options = dict(data_root=data_root, fold=None)
crop = dict(_base_.crop, crop_size=(48, 48, 48))
train_pipeline = [_base_.load, _base_.load_spheres, crop, _base_.flip, _base_.pack]

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(crops_per_lesion=((0, 1),), random_share=0.5, by_size=True),
    dataset=dict(options, ann_file='train.json', pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(options, ann_file='chests_val.json'))
test_dataloader = dict(dataset=dict(options, ann_file='chests_val.json'))
scans = dict(_base_.train_scan_dataloader.dataset, **options)
scans['ann_file'] = 'chests_train.json'
val_evaluator = dict(ann_file=data_root + 'chests_val.json', fold=None)
test_evaluator = val_evaluator

model = dict(test_cfg=dict(window=dict(size=(96, 96, 96), overlap=24)))
# at most four false positives in a scan of the chest that the shipped weights have not seen
default_hooks = dict(visualization=dict(score_thr=0.962))

max_epochs = 2
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
restarts = dict(_base_.restarts, end=max_epochs, periods=[max_epochs - 1], restart_weights=[1])
param_scheduler = [_base_.warmup, restarts]
hard_crops = dict(
    type='HardCropHook',
    dataloader=dict(_base_.train_scan_dataloader, dataset=scans),
    epochs=(1,),
    score_thr=0.3,
    max_per_volume=100,
)
other_hooks = [*_base_.custom_hooks]
custom_hooks = [*other_hooks, hard_crops]
