_base_ = './ct_detector_parts.py'
from mmengine.hub import get_config

model = get_config('mmdet::deformable_detr/deformable-detr_r50_16xb2-50e_coco.py').model.to_dict()
model['data_preprocessor'].update(_base_.ct_pixels)
model['bbox_head']['num_classes'] = 1
# a slice has a lesion or two, not COCO's dozens of objects
model['num_queries'] = 100
