"""Windows of HU in which slices are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from mmlesion.io.schema import ABDOMEN_WINDOW
from mmlesion.utils import UserError


def display_window(metainfo: Mapping, default: Sequence[float] = ABDOMEN_WINDOW) -> np.ndarray:
    """Return the first of the ``windows`` of an image or a sample.

    Args:
        metainfo: With ``windows``, [[low, high], ...] or one [low, high], where it has any.
        default: Taken where it has none. Defaults to that of the abdomen.

    Returns:
        ndarray: (2,) lower and upper HU.

    Raises:
        UserError: If ``windows`` are anything else.
    """
    windows = metainfo.get('windows')
    try:
        given = [default] if windows is None or not len(windows) else windows
        window = np.asarray(given, float).reshape(-1, 2)[0]
    except (TypeError, ValueError, OverflowError):
        window = np.full(2, np.nan)
    if not (np.isfinite(window).all() and window[0] < window[1]):
        name = metainfo.get('file_name') or metainfo.get('img_path')
        raise UserError(f'{name} has the windows {windows!r:.80}: give pairs of low and high HU')
    return window
