# The improved RetinaNet's additions for the phantom: anchors for its boxes, and masks from a
# pyramid of 48 channels.
_base_ = '../../../_base_/models/improved_retinanet_parts.py'

# row 2: by
#     tools/analysis_tools/optimize_anchors.py data/phantom/train.json --positions grid
#         --strides 8 16 32 64 128 --ratio-bounds 1 2 1 4 --image-size 256
optimized_anchors = dict(scales=[0.675, 0.919, 1.214], ratios=[0.630, 0.834, 1.0, 1.199, 1.587])
# row 3: the same search at the strides of P2 to P6
dense_anchors = dict(scales=[0.600, 0.757, 0.978], ratios=[0.625, 0.813, 1.0, 1.230, 1.599])
seg_head = dict(in_channels=48, c1_channels=32, feat_channels=(16, 8))
dense_supervision = dict(seg_head=seg_head)
gated_supervision = dict(seg_head=seg_head)
