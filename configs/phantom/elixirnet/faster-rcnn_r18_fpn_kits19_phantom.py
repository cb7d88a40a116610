# The synthetic data of `make_phantom.py --layout kits19`, converted by kits19.py.
_base_ = [
    '../../_base_/models/faster-rcnn_r18_fpn_small.py',
    '../_base_/datasets/deeplesion.py',
    '../../_base_/schedules/schedule_short.py',
    '../../_base_/default_runtime.py',
]

data_root = 'data/kits19_phantom/'
metainfo = dict(box_margin=0.0)  # boxes of masks are tight
train_dataloader = dict(batch_size=4, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = dict(ann_file=data_root + 'test.json')
