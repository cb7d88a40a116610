# A quarter of the width, two layers instead of six.
_base_ = ['./deformable-detr_r50.py', './small_detector_parts.py']

layer = dict(
    self_attn_cfg=dict(embed_dims=64), ffn_cfg=dict(embed_dims=64, feedforward_channels=128)
)
model = dict(
    num_queries=50,
    test_cfg=dict(max_per_img=50),
    data_preprocessor=_base_.phantom_pixels,
    backbone=dict(_base_.resnet18_small, norm_cfg=dict(requires_grad=True)),
    neck=dict(in_channels=[64, 128, 256], out_channels=64, norm_cfg=dict(num_groups=8)),
    encoder=dict(num_layers=2, layer_cfg=layer),
    decoder=dict(num_layers=2, layer_cfg=dict(layer, cross_attn_cfg=dict(embed_dims=64))),
    positional_encoding=dict(num_feats=32),
    bbox_head=dict(embed_dims=64),
)
