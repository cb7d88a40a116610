"""Runners for training without GPUs and for cross-validation."""

from .cpu_runner import CPURunner
from .fold_runner import FoldRunner

__all__ = ['CPURunner', 'FoldRunner']
