from .bbox_heads import RelationBBoxHead
from .region_encoders import ALBEncoder, FCEncoder
from .relation_roi_head import RelationRoIHead

__all__ = ['ALBEncoder', 'FCEncoder', 'RelationBBoxHead', 'RelationRoIHead']
