# What the configs of configs/slice_context share, as variables.
_base_ = './mask_branch_parts.py'

mask_roi_extractor = dict(roi_layer=dict(sampling_ratio=2))
# mmdet's own: a lesion without a mask is ignored, as Mask R-CNN's mask branch would learn that it
# has none
load_masks = dict(type='LoadAnnotations', with_bbox=True, with_mask=True)

# 7 slices; and AlignShift's input: neighbors at 2 mm from thin slices, the adjacent ones of slices
# that are further apart, by whose distance it weighs them
load_7 = dict(type='LoadCTSlices', num_slices=7, slice_interval=2.0)
load_aligned_3 = dict(type='LoadCTSlices', num_slices=3, slice_interval=2.0, upsample=False)
load_aligned_7 = dict(type='LoadCTSlices', num_slices=7, slice_interval=2.0, upsample=False)
