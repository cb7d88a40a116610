# The baseline on three slices that exchange features in the backbone.
_base_ = [
    '../../_base_/models/faster-rcnn_r18_fpn_small.py',
    '../../_base_/models/slice_context_parts.py',
    '../_base_/datasets/deeplesion.py',
    '../../_base_/schedules/schedule_short.py',
    '../../_base_/default_runtime.py',
]

model = dict(
    backbone=dict(
        _delete_=True,
        type='SliceContextBackbone',
        conv='A3D',
        num_slices=3,
        backbone=_base_.model.backbone,
    )
)

train_dataloader = dict(batch_size=4)
