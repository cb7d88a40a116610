# The improved RetinaNet's additions, as variables that the configs of the ablation share.

# section 3.1: HU -1024 to 1050 on -1 to 1
hu_window = dict(type='WindowHU', windows=((-1024, 1050),), output_range=(-1.0, 1.0))

# section 2.1: found by differential evolution. mmdet's ratios are height / width.
optimized_anchors = dict(
    type='AnchorGenerator',
    base_sizes=[32, 64, 128, 256, 512],
    scales=[0.425, 0.540, 0.680],
    ratios=[1 / 3.27, 1 / 1.78, 1.0, 1.78, 3.27],
    strides=[8, 16, 32, 64, 128],
)

# section 2.2: heads on P2 to P6, with the same anchor sizes
p2_to_p6_strides = [4, 8, 16, 32, 64]
load_masks = dict(type='LoadLesionAnnotations', with_bbox=True, with_mask=True)
masks_to_target = dict(type='LesionMasksToSegMap')
