# In the backbone and, as in the papers, behind it.
_base_ = './faster-rcnn_r18_fpn_7groups_lidc2d.py'

model = dict(
    data_preprocessor=dict(type='SliceContextDataPreprocessor'), backbone=dict(conv='AlignShift')
)

pack = dict(
    type='PackDetInputs', meta_keys=(*_base_.train_pipeline[-1].meta_keys, 'slice_distance')
)
train_pipeline = [_base_.load_aligned_7, *_base_.train_pipeline[1:-1], pack]
test_pipeline = [_base_.load_aligned_7, *_base_.test_pipeline[1:-1], pack]
flip_tta = dict(_base_.flip_tta, transforms=[_base_.flip_tta.transforms[0], [pack]])
tta_pipeline = [*test_pipeline[:-1], flip_tta]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
