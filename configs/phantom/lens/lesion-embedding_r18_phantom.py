# A quarter of the width, from random weights: a few minutes on two CPU cores.
_base_ = '../../lens/lesion-embedding_r18_1xb64-12e_deeplesion.py'

data_root = 'data/phantom/'
max_epochs = 8
window = dict(type='WindowHU', windows=((-200, 250),), output_range=(0.0, 255.0))
crop_and_pack = [_base_.crop, _base_.pack]
prepare = [_base_.load_boxes, window, _base_.spacing]
train_pipeline = [_base_.load_nearby, *prepare, _base_.affine, *crop_and_pack]
test_pipeline = [_base_.load, *prepare, *crop_and_pack]
lesions = dict(type='LesionPatchDataset', data_root=data_root, data_prefix=dict(img='Images_png/'))

model = dict(
    # mean and std of the phantom, HU -200 to 250 on 0 to 255; one value serves any number of slices
    data_preprocessor=dict(mean=[34.0], std=[59.0]),
    backbone=dict(base_channels=16, stem_channels=16, init_cfg=None),
    bbox_roi_extractor=dict(out_channels=32),
    channels=128,
    out_channels=64,
)
train_dataloader = dict(
    num_workers=2,
    dataset=dict(
        datasets=[
            dict(lesions, ann_file='train.json', pipeline=train_pipeline),
            dict(lesions, ann_file='val.json', pipeline=train_pipeline),
        ]
    ),
)
test_dataloader = dict(
    num_workers=2,
    dataset=dict(lesions, ann_file='test.json', test_mode=True, pipeline=test_pipeline),
)
train_cfg = dict(max_epochs=max_epochs)
optim_wrapper = dict(optimizer=dict(lr=1e-3))
param_scheduler = [
    dict(_base_.warmup, end=20),
    dict(_base_.cosine, end=max_epochs, eta_min=1e-5),
]
