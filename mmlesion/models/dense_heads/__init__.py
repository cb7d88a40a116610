from .light_p2_retina_head import LightP2RetinaHead
from .truncated_rpn_head import TruncatedRPNHead

__all__ = ['LightP2RetinaHead', 'TruncatedRPNHead']
