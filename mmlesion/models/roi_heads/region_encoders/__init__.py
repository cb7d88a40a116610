"""Region encoders of ElixirNet's box head."""

from .alb_encoder import ALBEncoder
from .fc_encoder import FCEncoder

__all__ = ['ALBEncoder', 'FCEncoder']
