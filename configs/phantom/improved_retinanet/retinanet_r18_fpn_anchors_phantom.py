# Ablation on the phantom, row 2: + anchors optimized for the phantom's boxes and these strides, by
# tools/analysis_tools/optimize_anchors.py data/phantom/train.json --positions grid
#     --strides 8 16 32 64 128 --ratio-bounds 1 2 1 4 --image-size 256
_base_ = './retinanet_r18_fpn_default-anchors_phantom.py'

model = dict(
    bbox_head=dict(
        anchor_generator=dict(
            _delete_=True,
            type='AnchorGenerator',
            base_sizes=[32, 64, 128, 256, 512],
            scales=[0.675, 0.919, 1.214],
            ratios=[0.630, 0.834, 1.0, 1.199, 1.587],
            strides=[8, 16, 32, 64, 128],
        )
    )
)
