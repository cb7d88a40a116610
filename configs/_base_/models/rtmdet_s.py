_base_ = './ct_detector_parts.py'
from mmengine.hub import get_config

model = get_config('mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py').model.to_dict()
model['data_preprocessor'].update(_base_.ct_pixels)
# on a CPU too; several GPUs synchronize it by sync_bn = 'torch'
for part in ('backbone', 'neck', 'bbox_head'):
    model[part]['norm_cfg'] = dict(type='BN')
model['bbox_head']['num_classes'] = 1
# as the other detectors: of 30,000 candidates at 0.001 most of a slice's are background
model['test_cfg'].update(nms_pre=1000, score_thr=0.01, max_per_img=100)
