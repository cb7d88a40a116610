"""Masks as COCO files have them: polygons, or run-length encoding (RLE)."""

import numpy as np
from pycocotools import mask as mask_utils


def encode_mask(mask):
    """COCO's compressed RLE of an (H, W) bool mask, its counts as text."""
    rle = mask_utils.encode(np.asfortranarray(mask, np.uint8))
    return {'size': rle['size'], 'counts': rle['counts'].decode('ascii')}


def usable_segmentation(segmentation):
    """Return what of an annotation's ``segmentation`` outlines a lesion.

    Files without masks often have the empty polygon ``[[]]``.

    Args:
        segmentation (list | dict | None): Polygons, x1, y1, x2, y2, ... px each, or RLE.

    Returns:
        list | dict | None: The RLE, or the polygons of three points or more that enclose an area.
        None if there is nothing of the kind.
    """
    if isinstance(segmentation, dict):
        is_rle = segmentation.get('size') and isinstance(segmentation.get('counts'), (list, str))
        return segmentation if is_rle else None
    return [polygon for polygon in segmentation or [] if _encloses_area(polygon)] or None


def _encloses_area(polygon):
    if len(polygon) < 6 or len(polygon) % 2:
        return False
    # the shoelace formula, from the first corner: px far from the origin cost no digits
    x, y = (np.reshape(polygon, (-1, 2)) - polygon[:2]).T.astype(float)
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) > 1e-6
