# RTMDet at a quarter of its width and a sixth of its depth.
_base_ = ['./rtmdet_s.py', './small_detector_parts.py']

model = dict(
    data_preprocessor=_base_.phantom_pixels,
    backbone=dict(deepen_factor=0.167, widen_factor=0.25, init_cfg=None),
    neck=dict(in_channels=[64, 128, 256], out_channels=64, num_csp_blocks=1),
    bbox_head=dict(in_channels=64, feat_channels=64, exp_on_reg=False),
)
