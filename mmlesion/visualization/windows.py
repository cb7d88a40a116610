"""Windows of HU in which slices are shown."""

from __future__ import annotations

import numpy as np

SOFT_TISSUE = (-175.0, 275.0)


def display_window(metainfo: dict) -> np.ndarray | tuple[float, float]:
    """Return the first of a sample's ``windows`` in its metainfo, or soft tissue; HU."""
    windows = metainfo.get('windows') or []
    return np.reshape(windows, (-1, 2))[0] if len(windows) else SOFT_TISSUE
