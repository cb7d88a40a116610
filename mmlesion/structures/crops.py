"""Parts of arrays, which may reach beyond them, and the body on a slice."""

from __future__ import annotations

import cv2
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


def body_box(
    section: np.ndarray, threshold: float = -800.0, margin: int = 10
) -> tuple[int, int, int, int]:
    """Find the bounding rectangle of what is denser than air and thicker than 5 px.

    Args:
        section: (H, W) HU, or what ``threshold`` is in.
        threshold: HU above which is body. Defaults to -800.
        margin: px that are kept around it. Defaults to 10.

    Returns:
        tuple[int]: x1, y1, x2, y2 px, within the slice; all of it where there is no body.
    """
    # Opening removes what is thinner than 5 px, as the table and tubes are.
    height, width = section.shape
    dense = (section > threshold).astype(np.uint8)
    x, y, w, h = cv2.boundingRect(cv2.morphologyEx(dense, cv2.MORPH_OPEN, np.ones((5, 5))))
    if w == 0:  # cv2 has no rectangle of nothing
        return 0, 0, width, height
    return (
        max(x - margin, 0),
        max(y - margin, 0),
        min(x + w + margin, width),
        min(y + h + margin, height),
    )
