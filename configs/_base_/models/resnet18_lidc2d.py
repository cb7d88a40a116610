_base_ = []  # or mmengine takes a config with an import for one of its new style
import os

# ResNet-18 up to stage 3 with ImageNet's weights: the file that the rows were trained from, or
# torchvision's own where it is not there. Batch norm has to stay as it is, norm_eval: in the file
# it is folded into the convolutions. Without weights, from random ones:
#     --cfg-options model.backbone.init_cfg=None model.backbone.norm_eval=False
#         model.backbone.frozen_stages=-1
resnet18_weights = 'data/weights/resnet18_imagenet_folded_c2c4.pth'
resnet18 = dict(
    depth=18,
    base_channels=64,
    frozen_stages=1,
    stem_channels=64,
    num_stages=3,
    strides=(1, 2, 2),
    dilations=(1, 1, 1),
    out_indices=(0, 1, 2),
    norm_eval=True,
    init_cfg=dict(
        _delete_=True,
        type='Pretrained',
        checkpoint=resnet18_weights
        if os.path.isfile(resnet18_weights)
        else 'torchvision://resnet18',
    ),
)
