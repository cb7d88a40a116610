# 3D patches about the proposals of LENS: 25 slices at 2 mm, 96 px of 0.8 mm. The proposals are in
# `data_root`; see configs/lens/README.md for how they get there.
dataset_type = 'ProposalPatchDataset'
data_root = 'data/deeplesion/'
backend_args = None
meta_keys = (
    'img_path',
    'img_shape',
    'ori_shape',
    'slice_index',
    'spacing',
    'slice_interval',
    'sub_volume',
    'patch_box',
    'proposal_box',
    'proposal_score',
    'proposal_label',
)
patch = dict(
    type='LoadProposalPatch',
    num_slices=25,
    size=96,
    slice_interval=2.0,
    spacing=0.8,
    backend_args=backend_args,
)
augmentation = dict(ratio_range=(0.8, 1.2), max_shift_mm=4.0, flip_prob=0.5)
pack = dict(type='PackVolumeInputs', meta_keys=meta_keys)
train_pipeline = [dict(patch, **augmentation), pack]
test_pipeline = [patch, pack]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=False,  # each epoch's augmentation is the same in a resumed run
    sampler=dict(type='ProposalRatioSampler', negative_ratio=2),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='train_mined.json',
        proposal_file='proposals_train.json',
        data_prefix=dict(img='Images_png/'),
        pipeline=train_pipeline,
        backend_args=backend_args,
    ),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='manual_val.json',
        proposal_file='proposals_val.boxes3d.json',
        data_prefix=dict(img='Images_png/'),
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)
test_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        ann_file='manual_test.json',
        proposal_file='proposals_test.boxes3d.json',
        data_prefix=dict(img='Images_png/'),
        test_mode=True,
        pipeline=test_pipeline,
        backend_args=backend_args,
    ),
)

val_evaluator = dict(type='FROCMetric', ann_file=data_root + 'manual_val.json')
test_evaluator = dict(type='FROCMetric', ann_file=data_root + 'manual_test.json')
