"""Slices of a report, in their window, as JPEG within the page."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

QUALITY = 88  # of JPEG


def encode_slice(slice_hu: np.ndarray, window: Sequence[float]) -> str:
    """Return a slice as the data URL of a gray JPEG.

    Args:
        slice_hu: (H, W) HU.
        window: Lower and upper HU; these become black and white.

    Returns:
        str: ``data:image/jpeg;base64,...``.
    """
    import cv2  # a page without pictures does not need it, nor what it links to

    low, high = window
    gray = np.clip((slice_hu - low) / (high - low), 0, 1) * 255
    options = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
    _, data = cv2.imencode('.jpg', gray.round().astype(np.uint8), options)
    return 'data:image/jpeg;base64,' + base64.b64encode(data.tobytes()).decode('ascii')
