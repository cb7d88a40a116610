# What any of mmdet's detectors needs for CT slices, as variables; mmdet's own values are COCO's.

# Of 40 DeepLesion key slices, HU -1024 to 3071 on 0 to 255; one value serves any number of
# channels
ct_pixels = dict(mean=[30.0], std=[31.0], bgr_to_rgb=False)
# ElixirNet's five scales: mmdet's single one begins at 32 px, DeepLesion's median box is 30 px
five_scales = dict(scales=[2, 3, 4, 6, 12])
# noisy and ignored boxes are no background
lesion_assigner = dict(type='UncertainIoUAssigner', ignore_iof_thr=0.5)
# ImageNet's weights as torchvision has them
resnet50 = dict(
    style='pytorch',
    norm_cfg=dict(type='BN', requires_grad=True),
    init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
)
