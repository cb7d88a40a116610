"""RoI heads and their components."""

from .aggregated_roi_head import AggregatedRoIHead
from .bbox_heads import AggregatedBBoxHead, RelationBBoxHead
from .diameter_aligned_extractor import DiameterAlignedExtractor
from .lens_roi_head import LENSRoIHead
from .region_encoders import ALBEncoder, FCEncoder
from .relation_roi_head import RelationRoIHead

__all__ = [
    'ALBEncoder',
    'AggregatedBBoxHead',
    'AggregatedRoIHead',
    'DiameterAlignedExtractor',
    'FCEncoder',
    'LENSRoIHead',
    'RelationBBoxHead',
    'RelationRoIHead',
]
