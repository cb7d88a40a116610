# Row (c) with the two datasets that are at hand: LIDC's windows, and DeepLesion's phantom as the
# second. Row (b) is model.test_cfg.rcnn.experts=['lidc2d'] in the test.
_base_ = './lens_densenet121_lidc2d.py'

datasets = ['lidc2d', 'phantom']
model = dict(datasets=datasets)

lidc2d = dict(**_base_.train_dataloader.dataset)
phantom_pipeline = [
    _base_.load_near_key,
    _base_.load_boxes,
    dict(type='ClipBlackBorder'),
    _base_.window,
    # native size, as lesions of the phantom are as large in px there as nodules in LIDC's windows
    dict(type='Resize', scale_factor=1.0, keep_ratio=True),
    _base_.flip,
    _base_.pack,
]
phantom = dict(lidc2d, dataset_name='phantom', data_root='data/phantom/', pipeline=phantom_pipeline)
train_dataloader = dict(
    batch_sampler=dict(_delete_=True, type='SingleDatasetBatchSampler'),
    dataset=dict(_delete_=True, type='ConcatDataset', datasets=[lidc2d, phantom]),
)
