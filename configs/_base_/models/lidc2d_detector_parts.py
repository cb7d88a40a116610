# LIDC-IDRI's windows, as variables: of the training part, HU -1024 to 400 on 0 to 255, and a
# pyramid of ResNet-18 up to stage 3.
lidc2d_pixels = dict(mean=[88.0], std=[77.0], pad_size_divisor=16)
lidc2d_strides = [4, 8, 16]
