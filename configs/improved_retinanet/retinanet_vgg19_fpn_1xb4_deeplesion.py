# Ablation, row 1: the original RetinaNet, trained by the paper's recipe.
_base_ = [
    '../_base_/models/retinanet_vgg19_fpn.py',
    '../_base_/models/improved_retinanet_parts.py',
    '../_base_/datasets/deeplesion_retinanet.py',
    '../_base_/schedules/schedule_plateau.py',
    '../_base_/default_runtime.py',
]

custom_hooks = [*_base_.custom_hooks, _base_.early_stopping]
