_base_ = './ct_detector_parts.py'
from mmengine.hub import get_config

model = get_config('mmdet::atss/atss_r50_fpn_1x_coco.py').model.to_dict()
model['data_preprocessor'].update(_base_.ct_pixels)
# one anchor from 16 px instead of mmdet's 64: DeepLesion's median box side is 30 px
model['bbox_head']['anchor_generator']['octave_base_scale'] = 2
model['bbox_head']['num_classes'] = 1
# noisy and ignored boxes are no background, on slices with a lesion
model['train_cfg']['assigner']['ignore_iof_thr'] = 0.5
