"""Slices as pictures: windows of HU, boxes and outlines."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mmlesion.io.schema import LUNG_WINDOW, SOFT_TISSUE_WINDOW
from mmlesion.structures import Segment

TEXT_COLOR = (255, 255, 255)
BANNER = 28
SHORT_SIDE = 512

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
