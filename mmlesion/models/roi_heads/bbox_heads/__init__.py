from .relation_bbox_head import RelationBBoxHead

__all__ = ['RelationBBoxHead']
