from .backbones import VGG, DenseUNet3D, GroupedSliceBackbone, StemResNet
from .dense_heads import LightP2RetinaHead, TruncatedRPNHead
from .data_preprocessors import VolumeDataPreprocessor
from .detectors import LesionRetinaNet
from .layers import LocalMagnification,  RelationTransferModule
from .losses import FocusShiftLoss
from .necks import AttentionGateFPN, SliceGroupFusion
from .roi_heads import ALBEncoder, FCEncoder, RelationBBoxHead, RelationRoIHead
from .seg_heads import LesionSegHead

__all__ = [
    'VGG',
    'ALBEncoder',
    'AttentionGateFPN',
    'GroupedSliceBackbone',
    'DenseUNet3D',
    'FCEncoder',
    'FocusShiftLoss',
    'LesionRetinaNet',
    'LesionSegHead',
    'LightP2RetinaHead',
    'LocalMagnification',
    'RelationBBoxHead',
    'RelationRoIHead',
    'RelationTransferModule',
    'SliceGroupFusion',
    'StemResNet',
    'TruncatedRPNHead',
    'VolumeDataPreprocessor',
]
