"""Data preprocessors for slices and volumes."""

from .slice_context_data_preprocessor import SliceContextDataPreprocessor
from .volume_data_preprocessor import VolumeDataPreprocessor

__all__ = ['SliceContextDataPreprocessor', 'VolumeDataPreprocessor']
