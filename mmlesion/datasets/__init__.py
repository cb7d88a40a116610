from .ct_slices import CTSliceDataset
from .transforms import *  # noqa: F401,F403

__all__ = ['CTSliceDataset']
