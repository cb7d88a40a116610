"""Helpers that models share."""

from .segments import label_segments, overlap_with_segments
from .source_dataset import batch_dataset

__all__ = ['batch_dataset', 'label_segments', 'overlap_with_segments']
