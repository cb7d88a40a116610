# Table II, FCOS: row (d) with mmdet's FCOS as the proposal networks, on the one level of stride 4.
_base_ = './lens_densenet121_1xb4-8e_4datasets.py'

mined = dict(_base_.deeplesion, ann_file='train_mined.json')
train_dataloader = dict(dataset=dict(datasets=[mined, _base_.luna16, _base_.lits, _base_.nih_ln]))
model = dict(
    rpn_head=dict(
        _delete_=True,
        type='FCOSHead',
        in_channels=512,
        strides=[4],
        regress_ranges=((-1, 1e8),),
        norm_on_bbox=True,
        centerness_on_reg=True,
        norm_cfg=dict(type='GN', num_groups=32, requires_grad=True),
    ),
    train_cfg=dict(rpn=dict(_delete_=True)),
)
