"""Helpers that models share."""

from .segments import label_segments, meet_segments
from .source_dataset import batch_dataset

__all__ = ['batch_dataset', 'label_segments', 'meet_segments']
