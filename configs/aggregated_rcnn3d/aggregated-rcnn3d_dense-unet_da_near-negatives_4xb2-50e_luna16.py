# Not of the paper: 3D-AG whose FPRN also learns that near misses, proposals of IoU 0.02 to 0.5, are
# negatives; elsewhere they are ignored, by the thresholds of the RPN. 0.1 is the milder choice.
_base_ = './rpn3d_dense-unet_4xb2-50e_luna16.py'

model = dict(roi_head=_base_.fprn, train_cfg=dict(rcnn=dict(assigner=dict(neg_iou_thr=0.5))))
param_scheduler = _base_.fprn_param_scheduler
custom_hooks = [*_base_.custom_hooks, _base_.joint_training]
