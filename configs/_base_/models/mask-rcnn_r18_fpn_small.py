_base_ = ['./faster-rcnn_r18_fpn_small.py', './mask_branch_parts.py']

model = dict(
    **_base_.mask_rcnn,
    data_preprocessor=dict(pad_mask=True),
    roi_head=dict(
        mask_roi_extractor=dict(
            _base_.mask_roi_extractor,
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=2),
            out_channels=64,
        ),
        mask_head=dict(_base_.mask_head, num_convs=2, in_channels=64, conv_out_channels=64),
    ),
)
