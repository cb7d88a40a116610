# Focal loss in the RPN, which the paper compares TruncatedRPN with ("Ablative Analysis").
_base_ = './faster-rcnn_r18_fpn_lidc2d.py'

model = dict(rpn_head=dict(loss_cls=dict(_delete_=True, type='FocalLoss', use_sigmoid=True)))
