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

__all__ = [
    'OBJECTIVES',
    'RETINANET_RATIO_PAIRS',
    'RETINANET_SCALES',
    'AlignedOverlap',
    'AnchorSearch',
    'GridOverlap',
    'anchor_ratios',
    'anchor_shapes',
    'search_anchors',
]
