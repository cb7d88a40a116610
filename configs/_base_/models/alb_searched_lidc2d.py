# The auto-lesion blocks that the differentiable search found on LIDC's windows with seed 0:
# alb-search_r18_fpn_lidc2d.py.
# Found when a block had the last block's output as its only input (docs/search_alb.md, "In the
# smaller space").
genotypes = dict(
    alb=[
        (0, 'non_local', 0, 'avg_pool_3x3'),
        (0, 'sep_conv_5x5', 1, 'non_local'),
        (0, 'sep_conv_3x3', 1, 'sep_conv_1x3_3x1'),
        (3, 'non_local', 0, 'atrous_conv_3x3_r3'),
    ],
    reduction=[
        (0, 'non_local', 0, 'atrous_conv_3x3_r3'),
        (0, 'non_local', 1, 'sep_conv_1x3_3x1'),
        (2, 'atrous_conv_3x3_r3', 0, 'atrous_conv_3x3_r3'),
        (3, 'non_local', 0, 'non_local'),
    ],
)
