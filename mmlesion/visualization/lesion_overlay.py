"""Overlay images of detected lesions."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmlesion.io.schema import LUNG_WINDOW, SOFT_TISSUE_WINDOW
from mmlesion.structures import Segment

from .mask_overlay import BOX_COLOR, RECIST_COLOR, draw_contour

TEXT_COLOR = (255, 255, 255)
BANNER = 28
SHORT_SIDE = 512


def choose_window(slice_hu: np.ndarray, bbox: Sequence[float]) -> tuple[float, float]:
    """Choose the display window from the surroundings of a lesion.

    Args:
        slice_hu: (H, W) HU.
        bbox: x1, y1, x2, y2 in px.

    Returns:
        tuple[float]: The lung window where over a third of the box and half its size around it is
        aerated lung (-950 to -500 HU, so that air outside the body does not count), otherwise the
        soft tissue window; lower and upper HU.
    """
    x1, y1, x2, y2 = bbox
    margin_x, margin_y = (x2 - x1) / 2, (y2 - y1) / 2
    # rows and columns of the box and half its size around it, at least one px and none below 0
    low = np.floor([max(y1 - margin_y, 0), max(x1 - margin_x, 0)]).astype(int)
    high = np.ceil([max(y2 + margin_y, 1), max(x2 + margin_x, 1)]).astype(int)
    around = slice_hu[low[0] : high[0], low[1] : high[1]]
    lung = (around > -950) & (around < -500)
    return LUNG_WINDOW if lung.size and lung.mean() > 1 / 3 else SOFT_TISSUE_WINDOW


def draw_lesion(
    slice_hu: np.ndarray,
    bbox: Sequence[float],
    spacing: Sequence[float],
    text: str,
    segment: Segment | None = None,
    recist: np.ndarray | None = None,
) -> np.ndarray:
    """Draw a lesion's box, mask and diameters over its slice, windowed and with square pixels.

    Args:
        slice_hu: (H, W) HU, rows to posterior and columns to the patient's left.
        bbox: x1, y1, x2, y2 in px; pixel n extends from n to n + 1.
        spacing: x, y mm per px.
        text: Written over the picture, before the window.
        segment: The lesion's mask, drawn as a red contour.
        recist: (4, 2) ends of the two diameters in px, pixel n with its center
            at n, drawn as green lines.

    Returns:
        ndarray: (h, w, 3) BGR picture, uint8, its shorter side at least 512 px below the banner,
        with the patient's right (R) on the left, as in radiology.
    """
    low, high = choose_window(slice_hu, bbox)
    gray = np.clip((slice_hu.astype(np.float32) - low) / (high - low), 0, 1) * 255
    # the shorter side has SHORT_SIDE px or more, and no px of the slice is lost
    size_mm = np.array(slice_hu.shape[::-1]) * spacing
    pixels_per_mm = max(SHORT_SIDE / size_mm.min(), 1 / min(spacing))
    width, height = np.rint(size_mm * pixels_per_mm).astype(int).tolist()
    gray = cv2.resize(gray, (width, height), interpolation=cv2.INTER_LINEAR)
    picture = cv2.cvtColor(gray.astype(np.uint8), cv2.COLOR_GRAY2BGR)
    if segment is not None:
        mask = np.zeros(slice_hu.shape, bool)
        segment.paste(mask, True)
        draw_contour(picture, mask)
    corners = np.array(bbox).reshape(2, 2) * spacing * pixels_per_mm
    first, second = np.rint(corners).astype(int).tolist()
    cv2.rectangle(picture, first, second, BOX_COLOR, 1)
    if recist is not None:
        # px n has its center at n, in the picture's frame at n + 0.5
        ends = np.rint((recist + 0.5) * spacing * pixels_per_mm).astype(int)
        cv2.polylines(picture, list(ends.reshape(2, 2, 2)), False, RECIST_COLOR, 1, cv2.LINE_AA)
    for letter, place in _letters(width, height):
        _write(picture, letter, place)
    picture = cv2.copyMakeBorder(picture, BANNER, 0, 0, 0, cv2.BORDER_CONSTANT)
    _write(picture, f'{text}  [{low:g}, {high:g}] HU', (8, BANNER - 9))
    return picture


def _letters(width: int, height: int) -> tuple[tuple[str, tuple[int, int]], ...]:
    """Return the letters of the patient's sides and their positions at the image borders."""
    return (
        ('R', (4, height // 2)),
        ('L', (width - 16, height // 2)),
        ('A', (width // 2, 16)),
        ('P', (width // 2, height - 6)),
    )


def _write(picture: np.ndarray, text: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.5, TEXT_COLOR, 1, cv2.LINE_AA)
