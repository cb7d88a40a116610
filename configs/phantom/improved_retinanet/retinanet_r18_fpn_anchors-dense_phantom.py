# Ablation on the phantom, row 3: + dense supervision, which moves the heads to P2 to P6, with the
# anchors of the same search at these strides.
_base_ = './retinanet_r18_fpn_anchors_phantom.py'

model = dict(
    type='LesionRetinaNet',
    data_preprocessor=dict(pad_seg=True),
    neck=dict(start_level=1),
    bbox_head=dict(
        anchor_generator=dict(
            scales=[0.600, 0.757, 0.978],
            ratios=[0.625, 0.813, 1.0, 1.230, 1.599],
            strides=_base_.p2_to_p6_strides,
        )
    ),
    seg_head=dict(
        type='LesionSegHead',
        in_channels=48,
        c1_channels=32,
        image_channels=3,
        feat_channels=(16, 8),
        loss_seg=_base_.mask_loss,
    ),
    calibrate=True,
)

train_pipeline = [
    _base_.train_pipeline[0],
    _base_.load_masks,
    *_base_.train_pipeline[2:-1],
    _base_.masks_to_target,
    _base_.train_pipeline[-1],
]
# of tools/dataset_converters/recist_masks.py
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
