"""Resampling of volumes to isotropic voxels of 1 mm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk

from mmlesion.structures import Grid

SPACING = 1.0  # mm (3D Aggregated Faster R-CNN, section Data Preparation)
HU_RANGE = (-1024, 3071)


def isotropic_grid(
    grid: Grid,
    low: Sequence[float] | np.ndarray,
    high: Sequence[float] | np.ndarray,
    spacing: float = SPACING,
) -> Grid:
    """Return a grid of cubes that is parallel to another grid.

    Args:
        grid: The other one.
        low: z, y, x in its voxels at which the new grid begins.
        high: z, y, x near which it ends, to half a cube.
        spacing: mm of the cubes' sides. Defaults to 1.

    Returns:
        Grid: Of at least one voxel along each axis.
    """
    # Cubes per voxel along z, y, x. The origin is the center of the first cube, half a cube inward
    # from the corner at which the new grid begins.
    corner, cubes = np.asarray(low, float), np.asarray(grid.spacing)[::-1] / spacing
    size = np.maximum(np.rint((high - corner) * cubes), 1).astype(int)
    (origin,) = grid.to_world(corner + 0.5 / cubes)
    return Grid(tuple(size.tolist()), (spacing,) * 3, tuple(origin.tolist()), grid.direction)


def to_image(array: np.ndarray, grid: Grid) -> sitk.Image:
    """Return the image of an array (z, y, x) whose voxels lie on a grid."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    return image


def resample(image: sitk.Image, grid: Grid, outside: float = HU_RANGE[0]) -> np.ndarray:
    """Resample an image to a grid with linear interpolation.

    Args:
        image: In HU.
        grid: Where to sample.
        outside: HU outside of the image. Defaults to -1024, air.

    Returns:
        ndarray: (z, y, x) int16 HU, clipped to -1024 to 3071.
    """
    # SimpleITK has sizes in x, y, z; outside of the image it does not extrapolate.
    low, high = HU_RANGE
    resampled = sitk.Resample(
        image,
        grid.size[::-1],
        sitk.Transform(),
        sitk.sitkLinear,
        grid.origin,
        grid.spacing,
        grid.direction,
        outside,
        sitk.sitkFloat32,
    )
    return np.rint(sitk.GetArrayViewFromImage(resampled)).clip(low, high).astype(np.int16)
