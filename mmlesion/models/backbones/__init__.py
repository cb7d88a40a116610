"""Backbones for slices and volumes."""

from .dense_unet_3d import DenseUNet3D
from .grouped_slice_backbone import GroupedSliceBackbone
from .inflated_resnet_3d import InflatedResNet3D
from .slice_context_backbone import SliceContextBackbone
from .stem_resnet import StemResNet
from .truncated_dense_net import TruncatedDenseNet
from .vgg import VGG

__all__ = [
    'VGG',
    'DenseUNet3D',
    'GroupedSliceBackbone',
    'InflatedResNet3D',
    'SliceContextBackbone',
    'StemResNet',
    'TruncatedDenseNet',
]
