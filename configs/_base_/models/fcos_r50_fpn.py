_base_ = './ct_detector_parts.py'
from mmengine.hub import get_config

model = get_config('mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py').model.to_dict()
model['data_preprocessor'].update(_base_.ct_pixels)
model['backbone'].update(_base_.resnet50)
# Px to the farthest side of a box, by stride 8 to 128. mmdet's begin with 64, which gives all but
# the largest lesions to stride 8: half of DeepLesion's boxes are smaller than 30 px.
model['bbox_head']['regress_ranges'] = ((-1, 16), (16, 32), (32, 64), (64, 128), (128, 1e8))
# Distances in strides, as in mmdet's center-normbbox-centeronreg-giou config: they begin near the
# size of a lesion, and not at 1 px.
model['bbox_head']['norm_on_bbox'] = True
model['bbox_head']['num_classes'] = 1
