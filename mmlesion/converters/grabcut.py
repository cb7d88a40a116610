"""Dense lesion masks from the two RECIST diameters by GrabCut (improved RetinaNet, section 2.2).

Points and boxes are x, y in px of the image; pixel n has its center at n (docs/datasets.md,
Coordinates). RECIST is DeepLesion's ``Measurement_coordinates`` less 1: the ends of the long
diameter, then those of the short one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from mmlesion.io.deeplesion import BOX_PADDING
from mmlesion.io.schema import ABDOMEN_WINDOW

_SUBPIXEL_BITS = 4


class LesionMask(NamedTuple):
    """A lesion's mask and the name of its method.

    ``mask`` is (H, W) bool, ``source`` is 'grabcut' or, where that failed, 'ellipse'.
    """

    mask: np.ndarray
    source: str


def recist_mask(
    image_hu: np.ndarray,
    recist: Sequence[float],
    bbox: Sequence[float],
    window: Sequence[float] = ABDOMEN_WINDOW,
    margin: int | None = 20,
    iterations: int = 5,
) -> LesionMask:
    """Segment a lesion from its RECIST diameters and box.

    The quadrilateral of the four endpoints is foreground, the outside of the box is background, and
    GrabCut decides on the rest from the windowed image. Its input is cropped around the box: that
    suffices to model the background and is many times faster than the whole slice. Of its
    foreground, the component connected to the quadrilateral is kept and its holes are filled, as
    lesions are compact. If GrabCut fails or adds nothing to the quadrilateral, the mask is the
    ellipse of the two diameters.

    Args:
        image_hu: (H, W) HU.
        recist: x1, y1, ..., x4, y4 px.
        bbox: x1, y1, x2, y2 px; DeepLesion's box, padded by 5 px.
        window: HU window of GrabCut's 8-bit input.
        margin: Background around the box in GrabCut's input, px; None: all.
        iterations: Number of GrabCut iterations.

    Returns:
        LesionMask: A mask of the image's size that contains the quadrilateral and lies in the box.

    Raises:
        ValueError: If the numbers are malformed, or the intersection of quadrilateral and box lies
            outside the image.
    """
    points, box = _checked(recist, bbox)
    # All within the crop: points and boxes move by its origin, x and y of its upper left pixel.
    crop = _crop(box, image_hu.shape, margin)
    origin = np.array([crop[1].start, crop[0].start])
    shape = image_hu[crop].shape
    inside = _box_pixels(box - np.tile(origin, 2), shape)
    quadrilateral = quadrilateral_mask(points - origin, shape) & inside
    if not quadrilateral.any():
        raise ValueError('its RECIST diameters lie outside its box or the image')
    picture = _to_8bit(image_hu[crop], window)
    found, source = _grabcut(picture, quadrilateral, inside, iterations), 'grabcut'
    if found is None:
        ellipse = ellipse_mask(points - origin, shape) | quadrilateral
        found, source = ellipse & inside, 'ellipse'
    mask = np.zeros(image_hu.shape, bool)
    mask[crop] = found
    return LesionMask(mask, source)


def quadrilateral_mask(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels touched by the quadrilateral of the diameters' endpoints.

    Args:
        points: (4, 2) ends of the long diameter, then of the short one, px.
        shape: Height and width of the mask.

    Returns:
        ndarray: (H, W) bool. Diameters that do not cross have no simple quadrilateral: the mask is
        the convex hull of the ends, which is the same where they cross.
    """
    hull = cv2.convexHull(points.astype(np.float32))
    # OpenCV takes whole numbers: sixteenths of a pixel, as the shift of four bits says.
    corners = np.rint(hull * 2**_SUBPIXEL_BITS).astype(np.int32)
    mask = np.zeros(shape, np.uint8)
    cv2.fillConvexPoly(mask, corners, 1, shift=_SUBPIXEL_BITS)
    return mask.astype(bool)


def ellipse_mask(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the pixels of the ellipse that has the two diameters as conjugate diameters.

    Its center is the mean of the four ends. Diameters at right angles are its axes; others make it
    oblique, with tangents at the ends of one parallel to the other. Where a diameter is shorter
    than a pixel or both are parallel, the second is taken as one pixel long, at right angles.

    Args:
        points: (4, 2) ends of the long diameter, then of the short one, px.
        shape: Height and width of the mask.

    Returns:
        ndarray: (H, W) bool.
    """
    # Half the diameters, as vectors x, y in px; at least half a pixel long, and not parallel.
    first, second = (points[1] - points[0]) / 2, (points[3] - points[2]) / 2
    first = first if np.hypot(first[0], first[1]) >= 0.5 else np.array([0.5, 0.0])
    # The unit vector at right angles to the first: the second must reach half a pixel along it.
    normal = np.array([-first[1], first[0]]) / np.hypot(first[0], first[1])
    if abs(second @ normal) < 0.5:
        second = 0.5 * normal
    axes = np.stack([first, second], axis=1)
    # Each pixel's offset from the center in multiples of the two vectors, in which the ellipse is
    # the unit circle.
    rows, columns = np.indices(shape)
    offsets = np.stack([columns, rows], axis=-1) - points.mean(axis=0)
    coordinates = offsets @ np.linalg.inv(axes).T
    return (coordinates**2).sum(axis=-1) <= 1


def recist_from_box(bbox: Sequence[float], padding: float = BOX_PADDING) -> np.ndarray:
    """Replace missing RECIST by the axes of the ellipse inscribed in the box.

    Args:
        bbox: x1, y1, x2, y2 px.
        padding: Margin of the box around the RECIST extent on each side, px.

    Returns:
        ndarray: x1, y1, ..., x4, y4 px; the long diameter along the longer side, at least 1 px.
    """
    low, high = np.reshape(bbox, (2, 2)).astype(float)
    center, half = (low + high) / 2, np.maximum((high - low) / 2 - padding, 0.5)
    across, down = np.diag(half)  # half the axes as vectors, (width / 2, 0) and (0, height / 2)
    long, short = (across, down) if half[0] >= half[1] else (down, across)
    return np.concatenate([center - long, center + long, center - short, center + short])


def _checked(recist: Sequence[float], bbox: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    try:
        points, box = np.asarray(recist, float), np.asarray(bbox, float)
    except (TypeError, OverflowError) as error:
        raise ValueError(f'recist or bbox has no numbers: {error}') from None
    if points.shape != (8,) or not np.isfinite(points).all():
        raise ValueError(f'recist is not eight numbers: {recist}')
    if box.shape != (4,) or not np.isfinite(box).all():
        raise ValueError(f'bbox is not four numbers: {bbox}')
    return points.reshape(4, 2), box


def _crop(box: np.ndarray, shape: tuple[int, ...], margin: float | None) -> tuple[slice, slice]:
    """Return the rows and columns of the image within ``margin`` px of the box."""
    if margin is None:
        return slice(0, shape[0]), slice(0, shape[1])
    # x, y of the first pixel, and of the one past the last; a box outside gives an empty crop.
    low = np.floor(box[:2] - margin).clip(0).astype(int)
    high = np.ceil(box[2:] + margin + 1).clip(0).astype(int)
    return slice(low[1], min(high[1], shape[0])), slice(low[0], min(high[0], shape[1]))


def _box_pixels(box: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    # Pixels whose centers, which are whole numbers, are in the box: (rows, 1) by (columns,).
    rows, columns = np.arange(shape[0]), np.arange(shape[1])
    in_rows = (rows >= box[1]) & (rows <= box[3])
    return in_rows[:, None] & (columns >= box[0]) & (columns <= box[2])


def _to_8bit(image_hu: np.ndarray, window: Sequence[float]) -> np.ndarray:
    # GrabCut takes three channels of eight bits: the same gray in each.
    low, high = window
    scaled = (image_hu.astype(np.float32) - low) * (255 / (high - low))
    return cv2.cvtColor(np.rint(scaled).clip(0, 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)


def _grabcut(
    picture: np.ndarray, foreground: np.ndarray, inside: np.ndarray, iterations: int
) -> np.ndarray | None:
    """Run GrabCut; return None if it fails or finds nothing beyond ``foreground``.

    Args:
        picture: (h, w, 3) uint8.
        foreground: (h, w) bool, surely lesion.
        inside: (h, w) bool, possibly lesion.
        iterations: Number of GrabCut iterations.

    Returns:
        ndarray | None: (h, w) bool.
    """
    # Surely lesion, surely not, and what GrabCut decides on: it begins as background.
    labels = np.where(inside, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    labels[foreground] = cv2.GC_FGD
    cv2.setRNGSeed(0)  # of the k-means that starts the mixtures
    try:
        cv2.grabCut(picture, labels, None, None, None, iterations, cv2.GC_INIT_WITH_MASK)
    except cv2.error:
        return None
    found = (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)
    # The parts that are connected to what is surely lesion, without holes.
    parts, _ = ndimage.label(found)
    kept = np.isin(parts, np.unique(parts[foreground])) & found
    kept = ndimage.binary_fill_holes(kept)
    return kept if kept.sum() > foreground.sum() else None
