# Search among the operations of DARTS instead of ElixirNet's on LIDC's windows.
_base_ = './alb-search_r18_fpn_lidc2d.py'

model = dict(roi_head=dict(bbox_head=dict(encoder=dict(operations='darts'))))
