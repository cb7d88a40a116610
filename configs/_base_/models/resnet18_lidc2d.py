# ResNet-18 up to stage 3 with ImageNet's weights. Batch norm is folded into the convolutions: as in
# torchvision's weights ('torchvision://resnet18' takes their place) it has to stay as it is,
# norm_eval. Without weights, from random ones:
#     --cfg-options model.backbone.init_cfg=None model.backbone.norm_eval=False
#         model.backbone.frozen_stages=-1
resnet18 = dict(
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
        checkpoint='data/weights/resnet18_imagenet_folded_c2c4.pth',
    ),
)
