"""CT volumes in the training orientation, and conversion back to their files."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike

from .grid import Grid, from_index, to_index
from .slice_stack import SliceStack, find_shifts, move_slices

SLICE_POSITIONS = 'mmlesion_slice_positions'
"""Key of an image's metadata: x, y, z in mm of the first voxel of each slice along k, one after the
other, where a regular grid does not describe them."""
GEOMETRY_ERROR = 'mmlesion_geometry_error_mm'
"""Key of an image's metadata: how far slices lie from the image's grid, at most, in mm."""
PATIENT, STUDY_DATE = '0010|0020', '0008|0020'
"""Keys of an image's metadata, as ITK names DICOM's tags, where its file says so."""


class CTVolume:
    """A CT volume in the training orientation, with conversion back to that of its file.

    The training orientation is DeepLesion's: columns run to the patient's Left, rows to Posterior,
    slices to Inferior. Axes are flipped and permuted to come nearest to it, never resampled, so
    that an oblique volume stays oblique and every voxel keeps its value and its place in the world.

    The slices of a series with a tilted gantry, which lie shifted within their planes, are moved to
    an orthogonal grid by whole px (:mod:`mmlesion.structures.slice_stack`). Indices of the file
    remain those of its slices. A box has the same size in both, and goes with its center.

    Points and boxes in the training frame are those of ``grid`` (:mod:`mmlesion.structures.grid`):
    z, y, x, and voxel n extends from n to n + 1. Those of the file have SimpleITK's index i, j, k:
    voxel n extends from n - 0.5 to n + 0.5.

    Args:
        image: 3D volume in HU.

    Attributes:
        image: The volume as given.
        orthogonal: The same if its grid is orthogonal; else with its slices moved.
        array: (z, y, x) HU of ``orthogonal`` in the training orientation, to be read
            alone: it may be a view of the image's voxels.
        spacing: (x, y, z) mm of ``array``.
        grid: Where the voxels of ``array`` lie in the world.
        slice_axis: Which axis (0, 1, 2 for i, j, k) of the original volume the slices of
            ``array`` were stacked along.
    """

    ORIENTATION = 'LPI'

    def __init__(self, image: sitk.Image) -> None:
        self.image = self.orthogonal = image
        self._positions, self._shifts = _slice_positions(image), None
        if self._positions is not None:
            self._shifts = find_shifts(image, self._positions)
            if self._shifts is not None:
                self.orthogonal = move_slices(image, self._positions, self._shifts)
        self.grid = _oriented_grid(self.orthogonal, self.ORIENTATION)
        self.spacing = self.grid.spacing
        self._axes, self._shift = _reorientation(self.grid, Grid.from_image(self.orthogonal))
        # ITK's voxels themselves, but where each slice would be gathered from the whole file
        turned = self._turned(np.asarray(_Voxels(self.orthogonal)))
        self.array = turned if self._file_axes[0] == 0 else np.array(turned, order='C')
        self.slice_axis = 2 - self._file_axes[0]

    @property
    def geometry_error_mm(self) -> float:
        """How far slices of a DICOM series lie from ``image``'s regular grid, at most."""
        has_error = self.image.HasMetaDataKey(GEOMETRY_ERROR)
        return float(self.image.GetMetaData(GEOMETRY_ERROR)) if has_error else 0.0

    def to_world(self, points: ArrayLike) -> np.ndarray:
        """Convert points from the training frame to the world.

        In an irregular series they lie where the slices' own positions put them, interpolated
        between slices.

        Args:
            points: (n, 3) z, y, x in voxels of ``array``.

        Returns:
            ndarray: (n, 3) x, y, z in mm, LPS.
        """
        if self._positions is None:
            return self.grid.to_world(points)
        # Columns of the direction are the axes i, j, k; within a slice only i and j move a point.
        steps = np.reshape(self.image.GetDirection(), (3, 3)) * self.image.GetSpacing()
        columns, rows = (np.broadcast_to(step, self._positions.shape) for step in steps.T[:2])
        return SliceStack(self._positions, columns, rows).to_world(self.points_to_index(points))

    def points_to_index(self, points: ArrayLike) -> np.ndarray:
        """Convert points from the training frame to the file.

        Args:
            points: (n, 3) z, y, x in voxels of ``array``.

        Returns:
            ndarray: (n, 3) index i, j, k of ``image``.
        """
        index = self._orthogonal_index(points)
        if self._shifts is not None:
            index[:, :2] -= self._shifts.at(index[:, 2])
        return index

    def points_from_index(self, points: ArrayLike) -> np.ndarray:
        """Convert points from the file to the training frame, as :meth:`points_to_index`."""
        index = np.array(points, float).reshape(-1, 3)
        if self._shifts is not None:
            index[:, :2] += self._shifts.at(index[:, 2])
        return self._from_orthogonal_index(index)

    def boxes_to_index(self, boxes: ArrayLike) -> np.ndarray:
        """Convert boxes from the training frame to the file.

        Args:
            boxes: (n, 6) boxes z1, y1, x1, z2, y2, x2 in voxels of ``array``.

        Returns:
            ndarray: (n, 6) boxes i1, j1, k1, i2, j2, k2 in the index of ``image``.
        """
        found = _box_corners(self._orthogonal_index(boxes))
        return found if self._shifts is None else found - self._box_shifts(found)

    def boxes_from_index(self, boxes: ArrayLike) -> np.ndarray:
        """Convert boxes from the file to the training frame, as :meth:`boxes_to_index`."""
        index = np.array(boxes, float).reshape(-1, 6)
        if self._shifts is not None:
            index += self._box_shifts(index)
        return _box_corners(self._from_orthogonal_index(index))

    def slice_number(self, index: int) -> int:
        """Return the number of a slice of ``array`` along ``slice_axis`` of ``image``."""
        center = self.points_to_index((index + 0.5, 0.5, 0.5))
        return round(center[0, self.slice_axis])

    def slice_index(self, number: int) -> int:
        """Return the index in ``array`` of a slice of ``image``, as :meth:`slice_number`."""
        center = np.zeros(3)
        center[self.slice_axis] = number
        return round(self.points_from_index(center)[0, 0] - 0.5)

    def oriented(self, array: np.ndarray) -> np.ndarray:
        """Return an array of the original volume, such as a mask, in the training orientation.

        Args:
            array: (k, j, i) of ``image``'s size.

        Returns:
            ndarray: (z, y, x) of the shape of the volume's ``array``, 0 around slices that are
            moved; a view of the array given if none are.
        """
        return self._turned(array if self._shifts is None else self._shifts.move(array))

    def restored(self, array: np.ndarray) -> np.ndarray:
        """Return an array in the training orientation as one of the original volume.

        Args:
            array: (z, y, x) of the shape of the volume's ``array``.

        Returns:
            ndarray: (k, j, i) of ``image``'s size, the inverse of :meth:`oriented`.
        """
        turned = array[self._flips].transpose(np.argsort(self._file_axes))
        return turned if self._shifts is None else self._shifts.move_back(turned)

    def _orthogonal_index(self, points: ArrayLike) -> np.ndarray:
        """Convert points (n, 3) from the training frame to the index of ``orthogonal``."""
        return to_index(np.reshape(points, (-1, 3)) @ self._axes + self._shift)

    def _from_orthogonal_index(self, index: np.ndarray) -> np.ndarray:
        # a signed permutation, whose inverse is its transpose
        return (from_index(index) - self._shift) @ self._axes.T

    def _box_shifts(self, boxes: np.ndarray) -> np.ndarray:
        """Return how far boxes (n, 6) in an index are moved with their centers, (n, 6)."""
        assert self._shifts is not None  # only then are boxes moved
        shifts = self._shifts.at((boxes[:, 2] + boxes[:, 5]) / 2)
        corner = np.column_stack([shifts, np.zeros(len(boxes))])
        return np.concatenate([corner, corner], axis=1)

    def _turned(self, array: np.ndarray) -> np.ndarray:
        """View an array (k, j, i) of ``orthogonal``'s size in the training orientation."""
        return array.transpose(self._file_axes)[self._flips]

    @property
    def _flips(self) -> tuple[slice, ...]:
        """Return which axes of the training frame run against those of the file."""
        # each row of the permutation has one entry, 1 or, along an axis that is flipped, -1
        steps = self._axes.sum(axis=1).astype(int)
        return tuple(slice(None, None, step) for step in steps)

    @property
    def _file_axes(self) -> list[int]:
        """Return the file axes (0, 1, 2 for k, j, i) along which z, y, x of ``array`` run."""
        return np.abs(self._axes).argmax(axis=1).tolist()


class _Voxels:
    """What NumPy makes an array of an image's voxels from, which keeps the image alive.

    The view that SimpleITK itself gives is of freed memory once the image is gone.
    """

    def __init__(self, image: sitk.Image) -> None:
        self.image = image
        self.__array_interface__ = sitk.GetArrayViewFromImage(image).__array_interface__


def _slice_positions(image: sitk.Image) -> np.ndarray | None:
    """Return the positions (n, 3) of an irregular series in mm, None for a regular grid."""
    if not image.HasMetaDataKey(SLICE_POSITIONS):
        return None
    return np.array(image.GetMetaData(SLICE_POSITIONS).split(), dtype=float).reshape(-1, 3)


def _oriented_grid(image: sitk.Image, orientation: str) -> Grid:
    """Return the grid that an image has in an orientation; ITK orients voxels of a byte for it."""
    voxels = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    voxels.CopyInformation(image)
    return Grid.from_image(sitk.DICOMOrient(voxels, orientation))


def _reorientation(source: Grid, target: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Find the flips and permutation between two grids of the same voxels.

    Returns:
        tuple[ndarray, ndarray]: (3, 3) signed permutation and (3,) shift, which take z, y, x voxels
        of the source as rows to those of the target: ``points @ axes + shift``.
    """
    units = np.vstack([np.zeros(3), np.eye(3)])
    # Rounding makes exact what is a signed permutation and an integer shift by construction.
    places = target.from_world(source.to_world(units)).round()
    # the images of the origin and of one step along each axis
    corner, ends = places[0], places[1:]
    return ends - corner, corner


def _box_corners(corners: np.ndarray) -> np.ndarray:
    """Sort two opposite corners of each box, (2n, 3), into lower and upper ones, (n, 6)."""
    corners = corners.reshape(-1, 2, 3)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
