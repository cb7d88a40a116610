"""Segmentation heads."""

from .lesion_seg_head import LesionSegHead

__all__ = ['LesionSegHead']
