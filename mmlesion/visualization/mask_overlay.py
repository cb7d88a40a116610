"""Overlay images of lesion masks."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

BOX_COLOR = (0, 220, 255)
RECIST_COLOR = (0, 255, 0)
MASK_COLOR = (60, 60, 255)
_HEIGHT = 400  # px of the picture


def draw_mask(
    slice_hu: np.ndarray,
    mask: np.ndarray,
    recist: Sequence[float] | np.ndarray | None,
    bbox: Sequence[float],
    window: Sequence[float],
) -> np.ndarray:
    """Draw a lesion's mask next to the plain slice, both cropped to its box and magnified.

    Args:
        slice_hu: (H, W) HU.
        mask: (H, W) bool, drawn as a red contour.
        recist: x1, y1, ..., x4, y4 px, pixel n with its center at n;
            the quadrilateral of the long diameter's ends and the short one's is drawn in green.
        bbox: x1, y1, x2, y2 px, drawn in yellow.
        window: HU from and to.

    Returns:
        ndarray: (400, w, 3) BGR picture, uint8.
    """
    low, high = window
    x1, y1, x2, y2 = _surroundings(bbox, slice_hu.shape)
    gray = (slice_hu[y1:y2, x1:x2].astype(np.float32) - low) * (255 / (high - low))
    scale = _HEIGHT / (y2 - y1)
    size = (round((x2 - x1) * scale), _HEIGHT)
    bare = cv2.resize(np.rint(gray).clip(0, 255).astype(np.uint8), size)
    bare = cv2.cvtColor(bare, cv2.COLOR_GRAY2BGR)
    drawn = bare.copy()
    draw_contour(drawn, mask[y1:y2, x1:x2])
    x_left, y_top, x_right, y_bottom = bbox
    corners = np.array([[x_left, y_top], [x_right, y_top], [x_right, y_bottom], [x_left, y_bottom]])
    _draw_polygon(drawn, corners, (x1, y1), scale, BOX_COLOR)
    if recist is not None:
        # in turn an end of the long diameter and one of the short: the corners in their order
        ends = np.reshape(recist, (4, 2))[[0, 2, 1, 3]]
        _draw_polygon(drawn, ends, (x1, y1), scale, RECIST_COLOR)
    return np.hstack([bare, drawn])


def draw_contour(picture: np.ndarray, mask: np.ndarray) -> None:
    """Draw a mask's contour in red over an image of the same field of view.

    Args:
        picture: (h, w, 3) BGR, uint8, which is changed.
        mask: (H, W) bool, of any size.
    """
    size = picture.shape[1::-1]
    enlarged = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(picture, contours, -1, MASK_COLOR, 1)


def _surroundings(bbox: Sequence[float], shape: tuple[int, int]) -> list[int]:
    """Return the box enlarged by half its longer side, clipped to the image."""
    x1, y1, x2, y2 = bbox
    margin = max(x2 - x1, y2 - y1) / 2
    # at least one px of the image, wherever the box lies
    low = np.floor([x1 - margin, y1 - margin]).clip(0, [shape[1] - 1, shape[0] - 1])
    high = np.ceil([x2 + margin, y2 + margin]).clip(low + 1, [shape[1], shape[0]])
    return np.concatenate([low, high]).astype(int).tolist()


def _draw_polygon(
    picture: np.ndarray,
    points: np.ndarray,
    origin: tuple[int, int],
    scale: float,
    color: tuple[int, int, int],
) -> None:
    # to px of the magnified crop, px n with its center at n before and after
    points = (points - np.array(origin) + 0.5) * scale - 0.5
    cv2.polylines(picture, [np.rint(points).astype(np.int32)], True, color, 1, cv2.LINE_AA)
