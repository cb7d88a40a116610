# A3D's detector (MICCAI 2021): Mask R-CNN on masks from RECIST diameters.
_base_ = './faster-rcnn_densenet121-a3d_7slices_4xb2-20e_deeplesion.py'

model = dict(
    type='MaskRCNN',
    roi_head=dict(
        mask_roi_extractor=dict(_base_.mask_roi_extractor, out_channels=512, featmap_strides=[4]),
        mask_head=dict(_base_.mask_head, in_channels=512),
    ),
    train_cfg=dict(rcnn=dict(mask_size=28)),
    test_cfg=dict(rcnn=dict(mask_thr_binary=0.5)),
)

train_pipeline = [_base_.train_pipeline[0], _base_.load_masks, *_base_.train_pipeline[2:]]
# of tools/dataset_converters/recist_masks.py
train_dataloader = dict(dataset=dict(ann_file='train_masks.json', pipeline=train_pipeline))
