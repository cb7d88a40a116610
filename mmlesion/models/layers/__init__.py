"""Layers and operations that several models share."""

from .alb import (
    DEFAULT_GENOTYPES,
    AutoLesionBlock,
    AutoLesionReductionBlock,
    check_genotype,
)
from .alb_operations import OPERATIONS, build_operation
from .attention_gate import AttentionGate
from .dense_block_3d import DenseBlock3D, pre_act_conv3d
from .inflated_conv_3d import InflatedConv3d
from .local_magnification import LocalMagnification
from .nms_3d import batched_nms_3d, nms_3d
from .non_local_relation import NonLocalRelation, RegionGraph
from .relation_transfer import RelationTransferModule
from .roi_align_3d import RoIAlign3D, roi_align_3d

__all__ = [
    'DEFAULT_GENOTYPES',
    'OPERATIONS',
    'AttentionGate',
    'AutoLesionBlock',
    'AutoLesionReductionBlock',
    'DenseBlock3D',
    'InflatedConv3d',
    'LocalMagnification',
    'NonLocalRelation',
    'RegionGraph',
    'RelationTransferModule',
    'RoIAlign3D',
    'batched_nms_3d',
    'build_operation',
    'check_genotype',
    'nms_3d',
    'pre_act_conv3d',
    'roi_align_3d',
]
