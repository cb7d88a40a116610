"""Windows of HU in which slices are shown."""

from __future__ import annotations

import numpy as np

from mmlesion.io.schema import ABDOMEN_WINDOW


def display_window(metainfo: dict) -> np.ndarray | tuple[float, float]:
    """Return the first of a sample's ``windows`` in its metainfo, or that of the abdomen; HU."""
    windows = metainfo.get('windows') or []
    return np.reshape(windows, (-1, 2))[0] if len(windows) else ABDOMEN_WINDOW
