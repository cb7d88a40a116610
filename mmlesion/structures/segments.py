"""Lesion masks on a slice, and their COCO formats: polygons or run-length encoding (RLE).

Boxes are x1, y1, x2, y2 in px, and px n extends from n to n + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy  # its parts are loaded when they are used
from pycocotools import mask as mask_utils

from mmlesion.utils import UserError

MAX_SIDE = 1 << 15
"""px of an image, and from its edges to the corners of a polygon: pycocotools crashes on others."""


class Segment(NamedTuple):
    """A lesion's mask on a slice, cropped.

    Args:
        mask: (h, w) bool.
        corner: x, y of its first px in the slice.
    """

    mask: np.ndarray
    corner: tuple[int, int]

    def paste(self, image: np.ndarray, value: float) -> None:
        """Write a value into the px of an image (H, W) that belong to the segment."""
        (x, y), (height, width) = self.corner, self.mask.shape
        image[y : y + height, x : x + width][self.mask] = value


def cut_segments(
    numbers: np.ndarray, wanted: np.ndarray, offset: Sequence[int] = (0, 0)
) -> dict[int, Segment]:
    """Cut segments out of their map.

    Args:
        numbers: (H, W) int, the number of the segment of each px.
        wanted: (n,) numbers of segments, 0 for none.
        offset: x, y of the map's first px in the slice.

    Returns:
        dict[int, Segment]: The wanted segments by their numbers.
    """
    # item n - 1 has the rows and the columns of the smallest box around segment n
    places = scipy.ndimage.find_objects(numbers)
    segments = {}
    for number in np.unique(wanted).tolist():
        if number:
            rows, columns = place = places[number - 1]
            corner = (columns.start + offset[0], rows.start + offset[1])
            segments[number] = Segment(numbers[place] == number, corner)
    return segments


def shares_in_boxes(numbers: np.ndarray, wanted: np.ndarray, bboxes: np.ndarray) -> np.ndarray:
    """Measure which share of its segment lies in each detection.

    Args:
        numbers: (H, W) int, the number of the segment of each px.
        wanted: (n,) number of each detection's segment, 0 for none.
        bboxes: (n, 4) detections, x1, y1, x2, y2 px of the map.

    Returns:
        ndarray: (n,) share of the segment's px whose centers lie in the box; 0 for no segment.
    """
    shares = np.zeros(len(wanted))
    for number, segment in cut_segments(numbers, wanted).items():
        detections = wanted == number
        # (h + 1, w + 1) px above and to the left of each corner of a px: the px in a rectangle are
        # a sum over its four corners, so that the mask is counted once for all boxes
        before = np.pad(segment.mask.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
        x1, y1, x2, y2 = _edges(segment, bboxes[detections]).T
        inside = before[y2, x2] - before[y1, x2] - before[y2, x1] + before[y1, x1]
        shares[detections] = inside / before[-1, -1]
    return shares


def _edges(segment: Segment, bboxes: np.ndarray) -> np.ndarray:
    """Return columns and rows x1, y1, x2, y2 (n, 4) of a segment with px centers in boxes."""
    # The center of px n is n + 0.5: the first px whose center is not before an edge at e has the
    # number ceil(e - 0.5).
    size = segment.mask.shape[::-1]
    corners = np.reshape(bboxes, (-1, 2, 2)) - 0.5 - segment.corner
    return np.ceil(corners).clip(0, size).astype(int).reshape(-1, 4)


def clip_segment(segment: Segment, bbox: np.ndarray) -> Segment | None:
    """Keep the px of a segment whose centers lie in a box.

    Args:
        segment: A segment.
        bbox: (4,) x1, y1, x2, y2 px.

    Returns:
        Segment | None: None if nothing is left.
    """
    x1, y1, x2, y2 = _edges(segment, bbox)[0].tolist()
    mask = segment.mask[y1:y2, x1:x2].copy()
    return Segment(mask, (segment.corner[0] + x1, segment.corner[1] + y1)) if mask.any() else None


def encode_mask(mask: np.ndarray) -> dict:
    """Return COCO's compressed RLE of an (H, W) bool mask, its counts as text."""
    rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return {'size': rle['size'], 'counts': rle['counts'].decode('ascii')}


def usable_segmentation(segmentation: list | dict | None) -> list | dict | None:
    """Return the part of an annotation's ``segmentation`` that outlines a lesion.

    Files without masks often have the empty polygon ``[[]]``.

    Args:
        segmentation: Polygons, x1, y1, x2, y2, ... px each, or RLE.

    Returns:
        list | dict | None: The RLE, or the polygons of three points or more that enclose an area.
        None if there is neither.

    Raises:
        UserError: If it is larger than any image, or not of numbers.
    """
    if isinstance(segmentation, dict):
        is_rle = segmentation.get('size') and isinstance(segmentation.get('counts'), (list, str))
        return _checked_rle(segmentation) if is_rle else None
    return [polygon for polygon in segmentation or [] if _encloses_area(polygon)] or None


def decode_mask(segmentation: dict) -> np.ndarray:
    """Return the (H, W) bool mask of COCO's compressed RLE.

    Raises:
        UserError: If it is not a segmentation.
    """
    try:
        return mask_utils.decode(_checked_rle(segmentation)).astype(bool)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f'a "segmentation" is no run-length encoded mask ({error})') from None


def _checked_rle(rle: dict) -> dict:
    size = rle['size']
    is_size = isinstance(size, (list, tuple)) and len(size) == 2
    if not is_size or any(type(side) is not int or not 0 < side <= MAX_SIDE for side in size):
        raise UserError(f'a "segmentation" has the size {size!a:.80}: give height and width in px')
    return rle


def _encloses_area(polygon: Sequence[float]) -> bool:
    if not isinstance(polygon, (list, tuple)) or len(polygon) < 6 or len(polygon) % 2:
        return False
    try:
        is_near = np.abs(np.array(polygon, float)).max() <= MAX_SIDE  # not so of NaN
    except (TypeError, ValueError, OverflowError):
        is_near = False
    if not is_near:
        raise UserError(f'a "segmentation" has the polygon {polygon!a:.80}: give px in its image')
    # the shoelace formula, from the first corner: px far from the origin cost no digits
    x, y = (np.reshape(polygon, (-1, 2)) - polygon[:2]).T.astype(float)
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) > 1e-6
