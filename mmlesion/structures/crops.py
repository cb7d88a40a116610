"""Parts of arrays that may reach beyond them."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def crop_array(array: np.ndarray, start: ArrayLike, size: ArrayLike, fill: float) -> np.ndarray:
    """Copy a part of an array.

    Args:
        array: Of n axes.
        start: (n,) index of the part's first element, perhaps before the array's.
        size: (n,) its elements along each axis.
        fill: Value of what lies beyond the array.

    Returns:
        ndarray: Of this size, of the array's type.
    """
    origin, extent = np.asarray(start), np.asarray(size)
    part = np.full(extent, fill, array.dtype)
    # what the part and the array share, in elements of the array; the upper ends are exclusive
    low, high = np.maximum(origin, 0), np.minimum(origin + extent, array.shape)
    if (low < high).all():
        part[_block(low - origin, high - origin)] = array[_block(low, high)]
    return part


def _block(low: np.ndarray, high: np.ndarray) -> tuple[slice, ...]:
    return tuple(map(slice, low, high))
