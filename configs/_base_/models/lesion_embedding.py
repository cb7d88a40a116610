# The embedding of intra-patient lesion matching (LENS), for patches of three slices.
model = dict(
    type='LesionEmbedding',
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        # of 40 DeepLesion key slices, HU -1024 to 3071 on 0 to 255; for any number of channels
        mean=[30.0],
        std=[31.0],
        bgr_to_rgb=False,
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        out_indices=(1, 3),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    bbox_roi_extractor=dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=5, sampling_ratio=2),
        out_channels=128,
        featmap_strides=[8],
    ),
    channels=512,
    out_channels=256,
)
