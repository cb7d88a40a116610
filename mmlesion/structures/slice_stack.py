"""The world points of slices that form no regular grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class SliceStack(NamedTuple):
    """Where each of n slices lies, whatever their distances or tilt.

    Args:
        origin_mm: (n, 3) LPS mm of the center of each slice's first pixel.
        columns_mm: (n, 3) step in mm from one column, i, to the next.
        rows_mm: (n, 3) step in mm from one row, j, to the next.
    """

    origin_mm: np.ndarray
    columns_mm: np.ndarray
    rows_mm: np.ndarray

    def to_world(self, voxels: ArrayLike) -> np.ndarray:
        """Return world points from the slices' own positions.

        Args:
            voxels: (..., 3) i, j, k; integers are voxel centers. Between slices points
                are interpolated, beyond the ends extrapolated.

        Returns:
            ndarray: (..., 3) x, y, z in mm, LPS.
        """
        i, j, k = np.moveaxis(np.asarray(voxels, dtype=float), -1, 0)
        lower = np.clip(np.floor(k).astype(int), 0, len(self.origin_mm) - 2)
        share = (k - lower)[..., None]
        on_lower = self._on_slice(i, j, lower)
        return on_lower + share * (self._on_slice(i, j, lower + 1) - on_lower)

    def _on_slice(self, i: np.ndarray, j: np.ndarray, k: np.ndarray) -> np.ndarray:
        in_plane = i[..., None] * self.columns_mm[k] + j[..., None] * self.rows_mm[k]
        return self.origin_mm[k] + in_plane
