# Ablation on the phantom, row 1: the original RetinaNet.
_base_ = [
    '../_base_/models/retinanet_r18_stem_fpn_small.py',
    '../_base_/models/improved_retinanet_small_parts.py',
    '../_base_/datasets/deeplesion_retinanet.py',
    '../_base_/schedules/schedule_2x.py',
    '../../_base_/default_runtime.py',
]
