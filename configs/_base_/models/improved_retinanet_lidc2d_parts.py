# The improved RetinaNet's additions for LIDC's windows: anchors for the nodules' boxes, and masks
# from a pyramid of 64 channels.
_base_ = './improved_retinanet_parts.py'

# row 2: by
#     tools/analysis_tools/optimize_anchors.py data/lidc2d/train.json --positions grid
#         --strides 8 16 32 64 128 --ratio-bounds 1 2 1 4 --scale-bounds 0.2 1.2 --image-size 192
optimized_anchors = dict(scales=[0.375, 0.625, 0.974], ratios=[0.562, 0.749, 1.0, 1.335, 1.778])
# row 3: the same search at the strides of P2 to P6
dense_anchors = dict(scales=[0.308, 0.500, 0.749], ratios=[0.673, 0.745, 1.0, 1.342, 1.487])
seg_head = dict(in_channels=64, c1_channels=64, feat_channels=(16, 8))
dense_supervision = dict(seg_head=seg_head)
gated_supervision = dict(seg_head=seg_head)
