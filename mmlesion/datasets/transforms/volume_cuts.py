"""Parts of volumes, (z, y, x) int16 HU, at any scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from mmlesion.structures.crops import crop_array


def cut_volume(
    volume: np.ndarray,
    start: ArrayLike,
    size: ArrayLike,
    scale: float = 1.0,
    pad_hu: int = 0,
) -> np.ndarray:
    """Crop a volume at a scale; the crop may extend beyond the volume.

    Args:
        volume: (z, y, x) int16.
        start: First voxel of the part, z, y, x, in the scaled volume.
        size: Its voxels.
        scale: Voxels of the part per voxel of the volume, with linear interpolation.
        pad_hu: Value beyond the volume.

    Returns:
        ndarray: (z, y, x) of this size, int16, a copy.
    """
    origin, extent = np.asarray(start), np.asarray(size)
    if scale == 1:
        return crop_array(volume, origin, extent, pad_hu)
    # The center of the scaled volume's voxel i is the point (i + 0.5) / scale of the volume's.
    first = (origin + 0.5) / scale - 0.5
    # the whole voxels that the interpolation reads: from corner up to end, exclusive
    corner = np.floor(first).astype(int)
    end = np.ceil(first + (extent - 1) / scale).astype(int) + 1
    part = crop_array(volume, corner, end - corner, pad_hu).astype(np.float32)
    scaled = ndimage.affine_transform(
        part, np.full(3, 1 / scale), first - corner, tuple(extent), order=1, mode='nearest'
    )
    return np.rint(scaled).astype(np.int16)
