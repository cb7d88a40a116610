# Auto-lesion blocks that random search found on LIDC's windows at the cost of the differentiable
# search: alb-search_r18_fpn_lidc2d.py with --strategy random --num-samples 100, 40 batches for the
# scores, seed 0.
# Found when a block had the last block's output as its only input (docs/search_alb.md, "In the
# smaller space").
_base_ = [
    '../baselines/faster-rcnn_r18_fpn_lidc2d.py',
    '../_base_/models/elixirnet_small_parts.py',
]

genotypes = dict(
    alb=[
        (0, 'atrous_conv_3x3_r5', 0, 'skip_connect'),
        (0, 'atrous_conv_3x3_r5', 1, 'non_local'),
        (1, 'avg_pool_3x3', 2, 'sep_conv_5x5'),
        (1, 'atrous_conv_3x3_r3', 0, 'atrous_conv_3x3_r5'),
    ],
    reduction=[
        (0, 'sep_conv_1x3_3x1', 0, 'sep_conv_5x5'),
        (1, 'non_local', 0, 'avg_pool_3x3'),
        (2, 'atrous_conv_3x3_r5', 0, 'skip_connect'),
        (0, 'sep_conv_5x5', 3, 'skip_connect'),
    ],
)
bbox_head = dict(_base_.alb_head.bbox_head, encoder=dict(_base_.alb, genotypes=genotypes))
model = dict(roi_head=dict(_base_.alb_head, bbox_head=bbox_head))
