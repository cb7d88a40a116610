# Search among the operations of DARTS instead of ElixirNet's: "ALB w/o our search space" of the
# paper's Table 6.
_base_ = './alb-search_r50_fpn_deeplesion.py'

model = dict(roi_head=dict(bbox_head=dict(encoder=dict(operations='darts'))))
