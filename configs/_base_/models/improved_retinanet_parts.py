# The improved RetinaNet's additions, as variables that the configs of the ablation share.

# section 2.1: found by differential evolution. mmdet's ratios are height / width.
optimized_anchors = dict(
    type='AnchorGenerator',
    base_sizes=[32, 64, 128, 256, 512],
    scales=[0.425, 0.540, 0.680],
    ratios=[1 / 3.27, 1 / 1.78, 1.0, 1.78, 3.27],
    strides=[8, 16, 32, 64, 128],
)

# section 2.2: heads on P2 to P6, with the same anchor sizes
dense_anchors = dict(optimized_anchors, strides=[4, 8, 16, 32, 64])
load_masks = dict(type='LoadLesionAnnotations', with_bbox=True, with_mask=True)
masks_to_target = dict(type='LesionMasksToSegMap')
# The paper names no weight of the masks' loss. At 1 its gradient on the backbone is several times
# the detection's as training begins, at this weight no larger than it: measured by
# tools/analysis_tools/loss_balance.py.
# Another one: --cfg-options model.seg_head.loss_seg.loss_weight=0.2
mask_loss_weight = 0.1
mask_loss = dict(
    type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.5, loss_weight=mask_loss_weight
)
dense_supervision = dict(
    type='LesionRetinaNet',
    data_preprocessor=dict(pad_seg=True),
    seg_head=dict(
        type='LesionSegHead', in_channels=256, c1_channels=64, image_channels=3, loss_seg=mask_loss
    ),
    calibrate=True,
)
# section 2.3: attention gates, the paper's full network
gated_supervision = dict(
    dense_supervision, seg_head=dict(dense_supervision['seg_head'], attention=True)
)
