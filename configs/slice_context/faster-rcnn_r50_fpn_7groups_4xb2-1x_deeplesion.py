# Seven slices that meet in the lateral convolutions of the pyramid alone: on volumes the backbone
# sees each slice once.
_base_ = './faster-rcnn_r50-a3d_fpn_7slices_4xb2-1x_deeplesion.py'

model = dict(backbone=dict(conv=None))
