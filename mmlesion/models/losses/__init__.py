from .focus_shift_loss import FocusShiftLoss

__all__ = ['FocusShiftLoss']
