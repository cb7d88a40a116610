from .backbones import VGG, StemResNet
from .dense_heads import LightP2RetinaHead, TruncatedRPNHead
from .detectors import LesionRetinaNet
from .necks import AttentionGateFPN
from .seg_heads import LesionSegHead

__all__ = [
    'VGG',
    'AttentionGateFPN',
    'LesionRetinaNet',
    'LesionSegHead',
    'LightP2RetinaHead',
    'StemResNet',
    'TruncatedRPNHead',
]
