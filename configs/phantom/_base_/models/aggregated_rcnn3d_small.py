# 3D Aggregated Faster R-CNN at half its width: a demonstration for two CPU cores.
_base_ = '../../../_base_/models/aggregated_rcnn3d.py'

model = dict(
    backbone=dict(growth_rate=8, stem_channels=16, out_channels=16),
    rpn_head=dict(in_channels=16, growth_rate=8),
    train_cfg=dict(rcnn=dict(sampler=dict(num=32))),
)

fprn = dict(
    _base_.fprn,
    bbox_roi_extractor=dict(_base_.fprn.bbox_roi_extractor, out_channels=16),
    bbox_head=dict(_base_.fprn.bbox_head, in_channels=384, fc_out_channels=128),
)
unaligned_fprn = dict(
    fprn,
    bbox_roi_extractor=dict(fprn['bbox_roi_extractor'], diameter_alignment=False),
)
magnified_fprn = dict(
    fprn,
    bbox_roi_extractor=dict(
        fprn['bbox_roi_extractor'],
        magnification=_base_.magnified_fprn.bbox_roi_extractor.magnification,
    ),
)
