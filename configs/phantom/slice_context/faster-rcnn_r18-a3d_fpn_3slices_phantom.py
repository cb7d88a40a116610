# The baseline on three slices that exchange features in the backbone.
_base_ = [
    '../baselines/faster-rcnn_r18_fpn_phantom.py',
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
