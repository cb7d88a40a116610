# A demonstration for two CPU cores, as variables: a backbone from random weights at half of its
# width, or a quarter of a ResNet-50's, and the phantom's intensities.

# mean and std of the phantom, HU -200 to 250 on 0 to 255; one value serves any number of slices
phantom_pixels = dict(mean=[34.0], std=[59.0])
resnet18_small = dict(
    depth=18,
    base_channels=32,
    stem_channels=32,
    frozen_stages=-1,
    norm_eval=False,
    init_cfg=None,
)
small_channels = [32, 64, 128, 256]
