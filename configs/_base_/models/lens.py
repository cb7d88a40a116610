# LENS, section Multi-Dataset Lesion Detection. Another dataset is another name in `datasets`.
#
# What the paper leaves out is that of MULAN's published config, on which it builds: where groups
# are fused, fully connected layers, sampled regions, undivided box offsets, thresholds of the
# assignment and of NMS, samples of RoIAlign, detections that are kept. configs/lens/README.md has
# the table. Numbers of proposals are mmdet's.
datasets = ['deeplesion', 'luna16', 'lits', 'nih_ln']

model = dict(
    type='LENS',
    datasets=datasets,
    # of 40 DeepLesion key slices, HU -1024 to 3071 on 0 to 255; for any number of channels
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[30.0], std=[31.0], bgr_to_rgb=False, pad_size_divisor=16
    ),
    backbone=dict(
        type='GroupedSliceBackbone',
        num_groups=3,
        backbone=dict(
            type='TruncatedDenseNet',
            in_channels=3,
            num_groups=3,
            init_cfg=dict(type='Pretrained', checkpoint='torchvision://densenet121'),
        ),
    ),
    neck=dict(type='SliceFusionFPN', in_channels=[256, 512, 1024], out_channels=512, num_groups=3),
    rpn_head=dict(type='AnchorFreeProposalHead', in_channels=512),
    roi_head=dict(
        type='LENSRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=2),
            out_channels=512,
            featmap_strides=[4],
        ),
        shared_head=dict(type='FCEncoder', in_channels=512, roi_feat_size=7, fc_out_channels=2048),
        bbox_head=dict(
            type='BBoxHead',
            in_channels=2048,
            roi_feat_size=1,
            num_classes=1,
            bbox_coder=dict(
                type='DeltaXYWHBBoxCoder',
                target_means=[0.0, 0.0, 0.0, 0.0],
                # MULAN's; mmdet divides them by 0.1 and 0.2: configs/lens/README.md
                target_stds=[1.0, 1.0, 1.0, 1.0],
            ),
            loss_cls=dict(type='CrossEntropyLoss'),
            # equation 1's lambda 2
            loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=10.0),
        ),
    ),
    train_cfg=dict(
        rpn=dict(),
        rpn_proposal=dict(
            nms_pre=2000,
            max_per_img=1000,
            nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=0,
        ),
        rcnn=dict(
            assigner=dict(
                type='UncertainIoUAssigner',
                pos_iou_thr=0.5,
                neg_iou_thr=0.5,
                min_pos_iou=0.5,
                match_low_quality=False,
                ignore_iof_thr=0.5,
            ),
            sampler=dict(
                type='RandomSampler',
                num=64,
                pos_fraction=0.25,
                neg_pos_ub=-1,
                add_gt_as_proposals=True,
            ),
            pos_weight=-1,
        ),
    ),
    test_cfg=dict(
        rpn=dict(
            nms_pre=1000,
            max_per_img=300,
            nms=dict(type='nms', iou_threshold=0.7),
            min_bbox_size=0,
        ),
        # experts=['deeplesion'] takes one expert's detections alone; keep_experts=True also puts
        # every expert's own ones into each sample
        rcnn=dict(
            score_thr=0.05,
            nms=dict(type='nms', iou_threshold=0.5),
            max_per_img=50,
            experts=None,
            keep_experts=False,
        ),
    ),
)

# A step leaves the branches of the other datasets out, on all processes the same ones.
model_wrapper_cfg = dict(
    type='MMDistributedDataParallel', broadcast_buffers=False, find_unused_parameters=True
)
