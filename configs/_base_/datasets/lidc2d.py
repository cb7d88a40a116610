# LIDC-IDRI's nodules in windows of 96 x 96 px (docs/datasets.md), enlarged to twice their size, as
# half of the boxes are below 10 px. There is no test part: `test` reads the validation part unless
# test_dataloader.dataset.ann_file and test_evaluator.ann_file name another file.
_base_ = './deeplesion.py'

data_root = 'data/lidc2d/'
# from air to bone: nodules stand out of the lung, and end at the chest wall
window = dict(type='WindowHU', windows=((-1024, 400),), output_range=(0.0, 255.0))
# a factor, not a size: slices of a whole body are then enlarged as much
enlarge = dict(type='Resize', scale_factor=2.0, keep_ratio=True)
# Readers' outlines are tight. Of the body around a nodule there is little: infer.py says so.
metainfo = dict(box_margin=0.0, trained_on=dict(max_size=96, spacing=(0.49, 0.98)))
# No affine maps: they would move air into small windows.
augment = [window, enlarge, _base_.flip]
prepare = [window, enlarge, _base_.load_boxes]
train_pipeline = [_base_.load, _base_.load_boxes, *augment, _base_.pack]
test_pipeline = [_base_.load, *prepare, _base_.pack]
tta_pipeline = [_base_.load, *prepare, _base_.flip_tta]

# An epoch has one slice of each nodule: its neighbors show nearly the same, and patients with many
# slices would have more say.
train_dataloader = dict(
    batch_size=8,
    sampler=dict(_delete_=True, type='LesionSliceSampler'),
    dataset=dict(data_root=data_root, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(data_root=data_root, metainfo=metainfo, pipeline=test_pipeline))
test_dataloader = dict(
    dataset=dict(
        data_root=data_root, metainfo=metainfo, ann_file='val.json', pipeline=test_pipeline
    )
)

# A box ends where its last pixel ends; in boxes of a few pixels one more would count.
val_evaluator = dict(ann_file=data_root + 'val.json', inclusive=False)
test_evaluator = dict(ann_file=data_root + 'val.json', inclusive=False)
