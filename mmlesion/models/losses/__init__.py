"""Losses."""

from .focus_shift_loss import FocusShiftLoss
from .hard_negative_loss import HardNegativeLoss

__all__ = ['FocusShiftLoss', 'HardNegativeLoss']
