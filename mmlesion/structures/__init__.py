from .frames import to_original_frame

__all__ = ['to_original_frame']
