"""Layers and operations that several models share."""

from .alb import (
    DEFAULT_GENOTYPES,
    AutoLesionBlock,
    check_genotype,
)
from .alb_operations import DARTS_OPERATIONS, OPERATIONS, build_operation
from .attention_gate import AttentionGate
from .dense_block_3d import DenseBlock3D, pre_act_conv3d
from .local_magnification import LocalMagnification
from .nms_3d import batched_nms_3d, nms_3d
from .relations import NonLocalRelation, RegionGraph, RelationTransferModule
from .roi_align_3d import RoIAlign3D, roi_align_3d
from .slice_convs import (
    A3DConv,
    ACSConv,
    AlignShiftConv,
    CenterSlice,
    ConcatSlices,
    I3DConv,
    InflatedConv3d,
    MeanSlice,
    SliceAttention,
    SliceConv2d,
    TSMConv,
    split_slices,
)

__all__ = [
    'DARTS_OPERATIONS',
    'DEFAULT_GENOTYPES',
    'OPERATIONS',
    'A3DConv',
    'ACSConv',
    'AlignShiftConv',
    'AttentionGate',
    'AutoLesionBlock',
    'CenterSlice',
    'ConcatSlices',
    'DenseBlock3D',
    'I3DConv',
    'InflatedConv3d',
    'LocalMagnification',
    'MeanSlice',
    'NonLocalRelation',
    'RegionGraph',
    'RelationTransferModule',
    'RoIAlign3D',
    'SliceAttention',
    'SliceConv2d',
    'TSMConv',
    'batched_nms_3d',
    'build_operation',
    'check_genotype',
    'nms_3d',
    'pre_act_conv3d',
    'roi_align_3d',
    'split_slices',
]
