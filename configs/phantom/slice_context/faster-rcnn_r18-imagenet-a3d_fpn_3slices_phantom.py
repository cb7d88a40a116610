# The detector that begins with ImageNet's weights, with slices that exchange features in the
# backbone.
_base_ = [
    '../baselines/faster-rcnn_r18-imagenet_fpn_phantom.py',
    '../../_base_/models/slice_context_parts.py',
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
