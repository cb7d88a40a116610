# The key slice alone: what the neighbors bring is the difference to the three-slice config. Three
# times the same window make the three channels of ImageNet's filters.
_base_ = './faster-rcnn_r18_fpn_lidc2d.py'

load = dict(type='LoadCTSlices', num_slices=1)
window = dict(_base_.window, windows=_base_.window.windows * 3)
train_pipeline = [load, _base_.load_boxes, window, _base_.enlarge, _base_.flip, _base_.pack]
prepare = [window, _base_.enlarge, _base_.load_boxes]
test_pipeline = [load, *prepare, _base_.pack]
tta_pipeline = [load, *prepare, _base_.flip_tta]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
