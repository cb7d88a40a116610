"""Necks: feature pyramids and fusion of slice groups."""

from .attention_gate_fpn import AttentionGateFPN
from .slice_fusion import SliceFusionFPN, SliceGroupFusion

__all__ = ['AttentionGateFPN', 'SliceFusionFPN', 'SliceGroupFusion']
