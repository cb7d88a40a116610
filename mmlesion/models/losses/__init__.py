"""Losses."""

from .rpn_losses import FocusShiftLoss, HardNegativeLoss

__all__ = ['FocusShiftLoss', 'HardNegativeLoss']
