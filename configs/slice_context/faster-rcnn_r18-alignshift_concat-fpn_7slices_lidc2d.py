# In the backbone and, as in the papers, behind it.
_base_ = './faster-rcnn_r18_fpn_7groups_lidc2d.py'

model = dict(
    data_preprocessor=dict(type='SliceContextDataPreprocessor'), backbone=dict(conv='AlignShift')
)

pack = dict(_base_.pack, meta_keys=(*_base_.meta_keys, 'slice_distance'))
flip_tta = dict(type='TestTimeAug', transforms=[_base_.both_ways, [pack]])
train_pipeline = [_base_.load_aligned_7, _base_.load_boxes, *_base_.augment, pack]
test_pipeline = [_base_.load_aligned_7, *_base_.prepare, pack]
tta_pipeline = [_base_.load_aligned_7, *_base_.prepare, flip_tta]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
