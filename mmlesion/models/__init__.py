"""Detectors, classifiers and their components."""

from .backbones import (
    VGG,
    DenseUNet3D,
    GroupedSliceBackbone,
    InflatedResNet3D,
    StemResNet,
    TruncatedDenseNet,
)
from .classifiers import ProposalClassifier3D
from .data_preprocessors import VolumeDataPreprocessor
from .dense_heads import (
    AnchorFreeProposalHead,
    LightP2RetinaHead,
    ProposalEnsemble,
    SphereRPNHead,
    TruncatedRPNHead,
)
from .detectors import LENS, AggregatedRCNN3D, LesionRetinaNet
from .embedders import LesionEmbedding
from .layers import InflatedConv3d, LocalMagnification, RelationTransferModule
from .losses import FocusShiftLoss, HardNegativeLoss
from .necks import AttentionGateFPN, SliceFusionFPN, SliceGroupFusion
from .roi_heads import (
    AggregatedBBoxHead,
    AggregatedRoIHead,
    ALBEncoder,
    DiameterAlignedExtractor,
    FCEncoder,
    LENSRoIHead,
    RelationBBoxHead,
    RelationRoIHead,
)
from .seg_heads import LesionSegHead
from .task_modules import (
    SphereAnchorGenerator,
    SphereDeltaCoder,
    SphereOverlaps3D,
    UncertainIoUAssigner,
)

__all__ = [
    'LENS',
    'VGG',
    'ALBEncoder',
    'AggregatedBBoxHead',
    'AggregatedRCNN3D',
    'AggregatedRoIHead',
    'AnchorFreeProposalHead',
    'AttentionGateFPN',
    'DenseUNet3D',
    'DiameterAlignedExtractor',
    'FCEncoder',
    'FocusShiftLoss',
    'HardNegativeLoss',
    'GroupedSliceBackbone',
    'InflatedConv3d',
    'InflatedResNet3D',
    'LENSRoIHead',
    'LesionEmbedding',
    'LesionRetinaNet',
    'LesionSegHead',
    'LightP2RetinaHead',
    'LocalMagnification',
    'ProposalClassifier3D',
    'ProposalEnsemble',
    'RelationBBoxHead',
    'RelationRoIHead',
    'RelationTransferModule',
    'SliceFusionFPN',
    'SliceGroupFusion',
    'SphereAnchorGenerator',
    'SphereDeltaCoder',
    'SphereOverlaps3D',
    'SphereRPNHead',
    'StemResNet',
    'TruncatedDenseNet',
    'TruncatedRPNHead',
    'UncertainIoUAssigner',
    'VolumeDataPreprocessor',
]
