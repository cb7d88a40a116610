# Auto-lesion blocks that random search found on LIDC's windows, for comparison with those of the
# differentiable search: alb-search_r18_fpn_lidc2d.py with --strategy random, seed 0.
_base_ = './faster-rcnn_r18_fpn_alb_lidc2d.py'

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
model = dict(roi_head=dict(bbox_head=dict(encoder=dict(genotypes=genotypes))))
