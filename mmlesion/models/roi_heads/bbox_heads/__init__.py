"""Box heads."""

from .aggregated_bbox_head import AggregatedBBoxHead
from .relation_bbox_head import RelationBBoxHead

__all__ = ['AggregatedBBoxHead', 'RelationBBoxHead']
