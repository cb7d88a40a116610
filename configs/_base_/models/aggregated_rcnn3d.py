# 3D Aggregated Faster R-CNN by its paper: Table I, the losses of section III-B and the thresholds
# of section IV. The FPRN comes with `roi_head`; without it the RPN detects alone.
sphere_iou = dict(type='SphereOverlaps3D')  # of the bounding cubes
# Section IV-B: over 0.5 positive, under 0.02 negative, the rest ignored. A nodule of 4 mm between
# voxels of stride 4 has no anchor of IoU 0.5: the best one is then its positive, as in the paper's
# reference [9].
assigner = dict(
    type='UncertainIoUAssigner',  # ignores excluded findings in crops without nodules, too
    pos_iou_thr=0.5,
    neg_iou_thr=0.02,
    min_pos_iou=0.02,
    match_low_quality=True,
    ignore_iof_thr=0.5,
    iou_calculator=sphere_iou,
)

model = dict(
    type='AggregatedRCNN3D',
    data_preprocessor=dict(type='VolumeDataPreprocessor', hu_window=(-1200, 600)),
    backbone=dict(type='DenseUNet3D', growth_rate=16, stem_channels=32, out_channels=32),
    rpn_head=dict(
        type='SphereRPNHead',
        in_channels=32,
        anchor_generator=dict(
            type='SphereAnchorGenerator',
            strides=[4, 8, 16],
            diameters=[[4, 6], [8, 12], [16, 24]],  # mm
        ),
        bbox_coder=dict(type='SphereDeltaCoder'),
        loss_cls=dict(type='FocusShiftLoss', alpha=0.8, gamma=5.0),
        loss_bbox=dict(type='SmoothL1Loss', beta=1.0),
    ),
    train_cfg=dict(
        rpn=dict(assigner=assigner, allowed_border=-1, pos_weight=-1, debug=False),
        rpn_proposal=dict(nms_pre=300, max_per_img=200, nms=dict(iou_threshold=0.3)),
        rcnn=dict(
            assigner=dict(assigner, match_low_quality=False),
            sampler=dict(
                type='RandomSampler',
                num=64,
                pos_fraction=0.5,
                neg_pos_ub=-1,
                add_gt_as_proposals=True,
            ),
        ),
    ),
    test_cfg=dict(
        # 0.269, the sigmoid of -1: section IV-F
        rpn=dict(nms_pre=300, score_thr=0.269, max_per_img=100, nms=dict(iou_threshold=0.1)),
        rcnn=None,
        # The paper names neither size nor overlap: windows as large as the crops of training.
        window=dict(
            size=(128, 128, 128), overlap=32, batch_size=1, iou_threshold=0.1, max_per_img=100
        ),
    ),
)

# To put into `model` where the FPRN is wanted: with Diameter Alignment, without and with Local
# Magnification, and without either.
fprn = dict(
    type='AggregatedRoIHead',
    bbox_roi_extractor=dict(
        type='DiameterAlignedExtractor', featmap_strides=(4, 8, 16), out_channels=32, output_size=2
    ),
    bbox_head=dict(type='AggregatedBBoxHead', fc_out_channels=256),
)
unaligned_fprn = dict(
    fprn, bbox_roi_extractor=dict(fprn['bbox_roi_extractor'], diameter_alignment=False)
)
magnified_fprn = dict(
    fprn,
    bbox_roi_extractor=dict(
        fprn['bbox_roi_extractor'],
        magnification=dict(type='LocalMagnification', crop_size=3, output_size=5),
    ),
)
