from .attention_gate import AttentionGate

__all__ = ['AttentionGate']
