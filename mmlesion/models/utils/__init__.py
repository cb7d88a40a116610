"""Helpers that models share."""

from .feature_cache import FeatureCache, unique_images
from .segments import label_segments, overlap_with_segments
from .source_dataset import batch_dataset

__all__ = [
    'FeatureCache',
    'batch_dataset',
    'label_segments',
    'overlap_with_segments',
    'unique_images',
]
