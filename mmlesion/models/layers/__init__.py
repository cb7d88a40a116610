from .alb import (
    DEFAULT_GENOTYPES,
    AutoLesionBlock,
    AutoLesionReductionBlock,
    check_genotype,
)
from .alb_operations import OPERATIONS, build_operation
from .attention_gate import AttentionGate
from .dense_block_3d import DenseBlock3D, pre_act_conv3d
from .local_magnification import LocalMagnification
from .non_local_relation import NonLocalRelation, RegionGraph
from .relation_transfer import RelationTransferModule

__all__ = [
    'DEFAULT_GENOTYPES',
    'OPERATIONS',
    'AttentionGate',
    'AutoLesionBlock',
    'AutoLesionReductionBlock',
    'DenseBlock3D',
    'LocalMagnification',
    'NonLocalRelation',
    'RegionGraph',
    'RelationTransferModule',
    'build_operation',
    'check_genotype',
    'pre_act_conv3d',
]
