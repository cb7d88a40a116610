# LENS, section 3D False Positive Reduction. Not in the paper: bins of a region and the fully
# connected layer; alpha and gamma of the focal loss are those of its own paper.
model = dict(
    type='ProposalClassifier3D',
    data_preprocessor=dict(
        type='VolumeDataPreprocessor',
        hu_window=(-1024, 3071),
        # as LENS' detector has it: mean 30 and std 31 of the window on 0 to 255
        value_range=(-30 / 31, 225 / 31),
        pad_size_divisor=1,
    ),
    backbone=dict(
        type='InflatedResNet3D',
        depth=18,
        in_channels=1,
        kernel_depths=(1, 1, 1, 3),
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'),
    ),
    in_channels=[64, 128, 256, 512],
    roi_size=3,
    fc_out_channels=256,
    loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25),
)
