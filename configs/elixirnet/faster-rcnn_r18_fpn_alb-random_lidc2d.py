# Auto-lesion blocks that random search of 30 genotypes found on LIDC's windows with seed 0, when a
# block had the last block's output as its only input (docs/search_alb.md, "In the smaller space").
_base_ = [
    '../baselines/faster-rcnn_r18_fpn_lidc2d.py',
    '../_base_/models/elixirnet_small_parts.py',
]

genotypes = dict(
    alb=[
        (0, 'avg_pool_3x3', 0, 'skip_connect'),
        (1, 'skip_connect', 0, 'atrous_conv_3x3_r3'),
        (2, 'sep_conv_1x3_3x1', 1, 'skip_connect'),
        (0, 'atrous_conv_3x3_r5', 1, 'avg_pool_3x3'),
    ],
    reduction=[
        (0, 'sep_conv_1x3_3x1', 0, 'atrous_conv_3x3_r5'),
        (1, 'sep_conv_1x3_3x1', 0, 'atrous_conv_3x3_r5'),
        (1, 'sep_conv_1x3_3x1', 2, 'skip_connect'),
        (0, 'sep_conv_5x5', 1, 'avg_pool_3x3'),
    ],
)
bbox_head = dict(_base_.alb_head.bbox_head, encoder=dict(_base_.alb, genotypes=genotypes))
model = dict(roi_head=dict(_base_.alb_head, bbox_head=bbox_head))
