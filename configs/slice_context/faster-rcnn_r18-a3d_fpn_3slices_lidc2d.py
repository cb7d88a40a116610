# The baseline on three slices that exchange features in the backbone, from ImageNet's weights.
_base_ = [
    '../_base_/models/faster-rcnn_r18_fpn_lidc2d.py',
    '../_base_/models/slice_context_parts.py',
    '../_base_/datasets/lidc2d.py',
    '../_base_/schedules/schedule_lidc2d.py',
    '../_base_/default_runtime.py',
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

# The mixing of the slices is not pretrained, and without weight decay: it begins as the identity.
mixing = dict(lr_mult=1.0, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(custom_keys={'conv1.mixing': mixing, 'conv2.mixing': mixing})
)
