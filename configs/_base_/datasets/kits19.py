# Slices with kidney tumors, converted by tools/dataset_converters/kits19.py; all else as for
# DeepLesion. ElixirNet: 80 % of the patients for training, the rest for testing.
_base_ = './deeplesion.py'

data_root = 'data/kits19/'
metainfo = dict(box_margin=0.0)  # boxes of masks are tight
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))
test_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo))

val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = dict(ann_file=data_root + 'test.json')
