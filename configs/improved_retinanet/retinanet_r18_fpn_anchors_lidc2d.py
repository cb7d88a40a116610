# Ablation on LIDC's windows, row 2: + anchors optimized for the nodules' boxes and these strides,
# by tools/analysis_tools/optimize_anchors.py data/lidc2d/train.json --positions grid
#     --strides 8 16 32 64 128 --ratio-bounds 1 2 1 4 --scale-bounds 0.2 1.2 --image-size 192
_base_ = './retinanet_r18_fpn_default-anchors_lidc2d.py'

model = dict(
    bbox_head=dict(
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            base_sizes=[32, 64, 128, 256, 512],
            scales=[0.375, 0.625, 0.974],
            ratios=[0.562, 0.749, 1.0, 1.335, 1.778],
            strides=[8, 16, 32, 64, 128],
        )
    )
)
