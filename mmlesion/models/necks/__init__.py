from .attention_gate_fpn import AttentionGateFPN

__all__ = ['AttentionGateFPN']
