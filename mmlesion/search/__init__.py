"""Differentiable and random search of auto-lesion blocks, and search of anchors."""

from .alb_cells import Architecture, MixedOperation, SearchBlock, SearchReductionBlock
from .alb_encoder import SearchALBEncoder
from .alb_loop import ALBSearchLoop
from .anchors import (
    OBJECTIVES,
    RETINANET_RATIO_PAIRS,
    RETINANET_SCALES,
    AlignedOverlap,
    AnchorSearch,
    GridOverlap,
    anchor_ratios,
    anchor_shapes,
    search_anchors,
)
from .genotypes import derive_genotype, sample_genotype, write_genotypes
from .optimizers import SearchOptimWrapperConstructor

__all__ = [
    'OBJECTIVES',
    'RETINANET_RATIO_PAIRS',
    'RETINANET_SCALES',
    'ALBSearchLoop',
    'AlignedOverlap',
    'AnchorSearch',
    'Architecture',
    'GridOverlap',
    'MixedOperation',
    'SearchALBEncoder',
    'SearchBlock',
    'SearchOptimWrapperConstructor',
    'SearchReductionBlock',
    'anchor_ratios',
    'anchor_shapes',
    'derive_genotype',
    'sample_genotype',
    'search_anchors',
    'write_genotypes',
]
