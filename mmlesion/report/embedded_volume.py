"""Volumes within a page: gzipped NIfTI as base64 text, within a bound on their voxels."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

MOST_VOXELS = 1 << 25
"""Voxels that a page embeds by default: 128 slices of 512 x 512 px, about 40 MB of HTML."""

_TO_RIGHT_ANTERIOR_SUPERIOR = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)


def binning_factor(shape: tuple[int, ...], most_voxels: int) -> int:
    """Return how many px along x and y are averaged to one, so that a volume is within a bound.

    Args:
        shape: Slices, rows and columns.
        most_voxels: The bound.

    Returns:
        int: 1 if the volume is small enough. All slices are kept.
    """
    factor = max(1, int(np.ceil(np.sqrt(np.prod(shape, dtype=float) / most_voxels))))
    # at least one block along each axis
    return min(factor, *shape[1:])


def in_blocks(array: np.ndarray, factor: int) -> np.ndarray:
    """View each slice in squares of px; those that fill no square at the far edges are cut off.

    Args:
        array: (z, y, x).
        factor: Px along each side of a square.

    Returns:
        ndarray: (z, y // factor, factor, x // factor, factor).
    """
    depth, height, width = array.shape[0], array.shape[1] // factor, array.shape[2] // factor
    cut = array[:, : height * factor, : width * factor]
    return cut.reshape(depth, height, factor, width, factor)


def encode_volume(array: np.ndarray, spacing: tuple[float, ...]) -> str:
    """Return a volume as base64 of ``.nii.gz``, its first voxel at 0 mm, without rotation.

    Args:
        array: (z, y, x) with columns to the patient's left, rows to posterior, slices to
            inferior, as in :class:`~mmlesion.structures.ct_volume.CTVolume`; of a type that NIfTI
            has.
        spacing: x, y, z mm.
    """
    # Turned round along all axes: NIfTI counts from left to right, posterior to anterior, inferior
    # to superior.
    image = sitk.GetImageFromArray(np.ascontiguousarray(array[::-1, ::-1, ::-1]))
    image.SetSpacing(spacing)
    # In the LPS of SimpleITK, which it writes as the identity of NIfTI's RAS.
    image.SetDirection(_TO_RIGHT_ANTERIOR_SUPERIOR)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'volume.nii.gz'
        sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=6)
        return base64.b64encode(path.read_bytes()).decode('ascii')
