# What the configs of configs/slice_context share, as variables.

# Mask R-CNN's branch on a pyramid of 256 channels and strides 4 to 32, for one class
mask_roi_extractor = dict(
    type='SingleRoIExtractor',
    roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=2),
    out_channels=256,
    featmap_strides=[4, 8, 16, 32],
)
mask_head = dict(
    type='FCNMaskHead',
    num_convs=4,
    in_channels=256,
    conv_out_channels=256,
    num_classes=1,
    loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
)
# mmdet's own: a lesion without a mask is ignored, as Mask R-CNN's mask branch would learn that it
# has none
load_masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)

# 7 slices; and AlignShift's input: neighbors at 2 mm from thin slices, the adjacent ones of slices
# that are further apart, by whose distance it weighs them
load_7 = dict(type='LoadCTSlices', num_slices=7, slice_interval=2.0)
load_aligned_3 = dict(type='LoadCTSlices', num_slices=3, slice_interval=2.0, upsample=False)
load_aligned_7 = dict(type='LoadCTSlices', num_slices=7, slice_interval=2.0, upsample=False)
