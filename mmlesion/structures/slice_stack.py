"""Slices that form no regular grid: their world points, and their shift to a grid and back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
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


AIR = -1024  # HU around the slices that are moved


class SliceShifts(NamedTuple):
    """How far each of n slices is moved to lie straight below the others.

    Args:
        px: (n, 2) int along i and j, the least of each is 0.
    """

    px: np.ndarray

    def at(self, numbers: np.ndarray) -> np.ndarray:
        """Return the shifts (m, 2) in px at places (m,) along k, interpolated between slices."""
        slices = np.arange(len(self.px))
        return np.stack([np.interp(numbers, slices, along) for along in self.px.T], axis=-1)

    def move(self, array: np.ndarray, fill: float = 0) -> np.ndarray:
        """Move the slices of a volume.

        Args:
            array: (n, j, i).
            fill: Value around them.

        Returns:
            ndarray: (n, j + most, i + most), larger by the largest shift along each axis.
        """
        width, height = array.shape[:0:-1] + self.px.max(axis=0)
        moved = np.full((len(array), height, width), fill, array.dtype)
        for plane, part in zip(array, self._parts(moved, array.shape)):
            part[:] = plane
        return moved

    def move_back(self, moved: np.ndarray) -> np.ndarray:
        """Undo :meth:`move`; what lies around the slices is lost."""
        width, height = moved.shape[:0:-1] - self.px.max(axis=0)
        return np.stack(self._parts(moved, (len(moved), height, width)))

    def _parts(self, moved: np.ndarray, shape: tuple[int, ...]) -> list[np.ndarray]:
        """Return views of where each slice lies in a moved volume."""
        _, height, width = shape
        parts = []
        for plane, (i, j) in zip(moved, self.px.tolist()):
            parts.append(plane[j : j + height, i : i + width])
        return parts


def find_shifts(image: sitk.Image, positions: np.ndarray) -> SliceShifts | None:
    """Return how the slices of a series have to be moved.

    Args:
        image: The series; slices are stacked along k.
        positions: (n, 3) LPS mm of the center of each slice's first px.

    Returns:
        SliceShifts | None: None if all lie within half a px, slices are not axial, or one would be
        moved by more than its width or height, as no gantry is tilted.
    """
    in_plane = np.reshape(image.GetDirection(), (3, 3))[:, :2]
    if np.abs(np.cross(*in_plane.T)).argmax() != 2:
        return None
    offsets = (positions - positions[0]) @ in_plane / image.GetSpacing()[:2]
    offsets -= offsets.min(axis=0)
    # bounds the memory, and NaN is in no bound
    if not (offsets.max(axis=0) <= image.GetSize()[:2]).all():
        return None
    px = np.rint(offsets).astype(int)
    return SliceShifts(px) if px.any() else None


def move_slices(image: sitk.Image, positions: np.ndarray, shifts: SliceShifts) -> sitk.Image:
    """Return a series on an orthogonal grid: its slices moved within their planes.

    Args:
        image: The series in HU; slices are stacked along k.
        positions: (n, 3) LPS mm of the center of each slice's first px.
        shifts: How far.

    Returns:
        sitk.Image: Larger, by air, than the series. Slices are at their mean distance.
    """
    moved = sitk.GetImageFromArray(shifts.move(sitk.GetArrayViewFromImage(image), AIR))
    columns, rows = np.reshape(image.GetDirection(), (3, 3))[:, :2].T
    normal = np.cross(columns, rows)
    gap = (positions[-1] - positions[0]) @ normal / (len(positions) - 1)
    axes = np.stack([columns, rows, normal * np.sign(gap)], axis=1)
    spacing = (*image.GetSpacing()[:2], abs(float(gap)))
    # the first slice keeps its place, which is not the new first voxel's
    corner = positions[0] - axes[:, :2] @ (shifts.px[0] * spacing[:2])
    moved.SetSpacing(spacing)
    moved.SetOrigin(corner.tolist())
    moved.SetDirection(axes.ravel().tolist())
    return moved
