"""Conventions of boxes: the frame of a file, clipped borders, last voxels, order of axes.

In memory px n extends from n to n + 1, as in mmdet, and so do slices; boxes are half-open. Files of
3D boxes name the first and the last voxel, both of which are in the box: they are inclusive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

# np.ndarray or torch.Tensor, which this module does not import
ArrayOrTensor = TypeVar('ArrayOrTensor', bound=Any)


def file_shift(image: dict) -> float:
    """Return the shift of x and y from the frame of an image's file to mmdet's.

    In mmdet's frame pixel n extends from n to n + 1; ``docs/datasets.md`` (Coordinates) describes
    the frames of files.

    Args:
        image: Of a COCO file.

    Returns:
        float: px; 0 where the image has no ``pixel_center``.
    """
    return 0.5 - image.get('pixel_center', 0.5)


def file_box(annotation: dict, image: dict) -> list[float]:
    """Return the box of an annotation in mmdet's frame.

    Args:
        annotation: Of a COCO file, with ``bbox`` x, y, w, h.
        image: Its image.

    Returns:
        list[float]: x1, y1, x2, y2 px, pixel n from n to n + 1.
    """
    x, y, w, h = annotation['bbox']
    # from the file's frame to the one in which px n extends from n to n + 1
    x, y = x + file_shift(image), y + file_shift(image)
    return [x, y, x + w, y + h]


def to_original_frame(bboxes: ArrayOrTensor, metainfo: Mapping) -> ArrayOrTensor:
    """Move predicted boxes from the clipped image's frame to the original image's.

    mmdet undoes the scale of a test pipeline but no crop, so what
    :class:`~mmlesion.datasets.transforms.ClipBlackBorder` cut off at the top and left is added.

    Args:
        bboxes: (n, 4) boxes x1, y1, x2, y2 in px, already rescaled by mmdet.
        metainfo: A sample's meta information, with ``border_offset`` (x, y) in px of the
            original image where a border was clipped.

    Returns:
        Tensor | ndarray: (n, 4) boxes in px of the original image.
    """
    x, y = metainfo.get('border_offset', (0, 0))
    moved = bboxes + 0
    moved[:, 0::2] += x
    moved[:, 1::2] += y
    return moved


def to_half_open(boxes: np.ndarray) -> np.ndarray:
    """Convert 3D boxes that name their last voxel to ones that end after it.

    Args:
        boxes: (..., 6) first and last voxel, in any order of axes.

    Returns:
        ndarray: (..., 6) first and last corner; voxel n extends from n to n + 1.
    """
    return np.asarray(boxes) + [0, 0, 0, 1, 1, 1]


def to_inclusive(boxes: np.ndarray) -> np.ndarray:
    """Convert half-open 3D boxes to ones that name their last voxel; undo :func:`to_half_open`."""
    return np.asarray(boxes) - [0, 0, 0, 1, 1, 1]


def reverse_axes(boxes: np.ndarray) -> np.ndarray:
    """Convert 3D boxes from x, y, z to z, y, x, or back.

    Args:
        boxes: (..., 6) two corners.

    Returns:
        ndarray: (..., 6) the same corners, their axes in the other order.
    """
    return np.asarray(boxes)[..., [2, 1, 0, 5, 4, 3]]


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
    import cv2  # slow to import, and nothing else here needs it

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
