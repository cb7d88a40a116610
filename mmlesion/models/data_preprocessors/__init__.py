"""Data preprocessors for slices and volumes."""

from .data_preprocessors import SliceContextDataPreprocessor, VolumeDataPreprocessor

__all__ = ['SliceContextDataPreprocessor', 'VolumeDataPreprocessor']
