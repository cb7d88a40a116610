# The detector of LIDC's windows, which begins with ImageNet's weights, on the phantom: three slices
# as channels.
_base_ = [
    '../../_base_/models/faster-rcnn_r18_fpn_lidc2d.py',
    '../../_base_/models/small_detector_parts.py',
    '../_base_/datasets/deeplesion.py',
    '../../_base_/schedules/schedule_lidc2d.py',
    '../../_base_/default_runtime.py',
]

model = dict(data_preprocessor=_base_.phantom_pixels)

train_dataloader = dict(batch_size=4)
