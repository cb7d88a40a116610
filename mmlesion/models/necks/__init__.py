"""Necks: feature pyramids and fusion of slice groups."""

from .attention_gate_fpn import AttentionGateFPN
from .slice_fusion_fpn import SliceFusionFPN
from .slice_group_fusion import SliceGroupFusion

__all__ = ['AttentionGateFPN', 'SliceFusionFPN', 'SliceGroupFusion']
