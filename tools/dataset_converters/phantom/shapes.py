"""Painting of soft-edged, optionally lobed ellipses into a volume, slice by slice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

# Slices on which a shape is thinner than this (mm) do not show it.
_VANISHED = 1e-3


@dataclass(frozen=True)
class Grid:
    """Position of the voxels of a stack of axial slices in the patient.

    Attributes:
        size: Rows and columns of a slice, px.
        spacing: In-plane mm per pixel.
        origin: x, y in mm of the center of pixel (0, 0).
        z: (n,) height of each slice in mm, growing from superior to inferior.
    """

    size: int
    spacing: float
    origin: tuple[float, float]
    z: np.ndarray

    def to_px(self, points: ArrayLike) -> np.ndarray:
        """Convert (..., 2) points x, y in mm to pixel coordinates."""
        return (np.asarray(points) - self.origin) / self.spacing


class Section(NamedTuple):
    """The ellipses in which n slices cut a body.

    ``centers`` (n, 2) x, y in mm, ``radii`` (n, 2) in mm, 0 where the slice misses the body, and
    ``angles`` (n,) of the first radius against the x axis in radians.
    """

    centers: np.ndarray
    radii: np.ndarray
    angles: np.ndarray


class Lobes(NamedTuple):
    """A ripple of an ellipse's outline, relative to its radius, that leaves the axes' ends alone.

    ``sin 2t * (a0 + a1 cos(t + p1) + a2 cos(2t + p2))`` with t the angle from the first axis: the
    factor ``sin 2t`` is zero at the four ends, so that RECIST diameters stay what was asked for.
    """

    amplitudes: tuple[float, float, float]
    phases: tuple[float, float]

    def __call__(self, angle: np.ndarray) -> np.ndarray:
        """Return the relative change of the radius at angles from the first axis."""
        (a0, a1, a2), (p1, p2) = self.amplitudes, self.phases
        ripple = a0 + a1 * np.cos(angle + p1) + a2 * np.cos(2 * angle + p2)
        return np.sin(2 * angle) * ripple

    @property
    def reach(self) -> float:
        """Return the maximum increase of a radius."""
        return float(np.abs(self.amplitudes).sum())


class Cover(NamedTuple):
    """The part of a volume that a shape covers.

    ``where`` are the slices z, y, x of the shape's bounding box, ``share`` (z, y, x) the fraction
    of each voxel in it, 0 to 1.
    """

    where: tuple[slice, slice, slice]
    share: np.ndarray


def coverage(grid: Grid, section: Section, edge: float, lobes: Lobes | None = None) -> Cover | None:
    """Return the fraction of each voxel covered by a shape, in the shape's bounding box.

    Args:
        grid: The slices, n of them.
        section: What they cut of the shape.
        edge: Width in mm over which the cover falls from 1 to 0, half of it outside.
        lobes: Ripple of the outline.

    Returns:
        Cover | None: In the shape's bounding box; None where the shape lies outside the grid.
    """
    alive = np.flatnonzero(section.radii.min(axis=1) > _VANISHED)
    if len(alive) == 0:
        return None
    # from the first slice that shows the shape to the last; it may vanish between them
    stack = slice(alive[0], alive[-1] + 1)
    centers, radii = section.centers[stack], section.radii[stack]
    box = _bounding_box(grid, centers, radii, edge, lobes.reach if lobes else 0.0)
    if box is None:
        return None
    u, v = _ellipse_frame(grid, box, centers, np.maximum(radii, _VANISHED), section.angles[stack])
    distance = np.sqrt(u * u + v * v)
    if lobes is not None:
        distance /= 1 + lobes(np.arctan2(v, u))
    # distance is 1 on the outline: the share is 0.5 there, and 0 wherever the radius is 0
    steep = (radii.min(axis=1) / edge).astype(np.float32)[:, None, None]
    share = np.clip((1 - distance) * steep + 0.5 * (steep > 0), 0, 1)
    rows, columns = box
    return Cover((stack, rows, columns), share)


def blend(volume: np.ndarray, cover: Cover, value: float) -> None:
    """Blend ``value`` into the part of a volume that is covered, in place."""
    view = volume[cover.where]
    view += cover.share * (value - view)


def _bounding_box(
    grid: Grid, centers: np.ndarray, radii: np.ndarray, edge: float, reach: float
) -> tuple[slice, slice] | None:
    margin = radii.max(axis=1, keepdims=True) * (1 + reach) + edge
    low = np.floor(grid.to_px((centers - margin).min(axis=0))).astype(int)
    high = np.ceil(grid.to_px((centers + margin).max(axis=0))).astype(int) + 1
    # px x, y of the image, high exclusive
    low, high = np.clip(low, 0, grid.size), np.clip(high, 0, grid.size)
    if (low >= high).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _ellipse_frame(
    grid: Grid, box: tuple[slice, slice], centers: np.ndarray, radii: np.ndarray, angles: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates in which each slice's ellipse is the unit circle, two (n, h, w) arrays."""
    rows, columns = _pixel_mm(box[0], grid.spacing), _pixel_mm(box[1], grid.spacing)
    # mm from the ellipse's center, then along its axes in units of their radii
    dy = rows[None, :, None] + np.float32(grid.origin[1]) - _per_slice(centers[:, 1])
    dx = columns[None, None, :] + np.float32(grid.origin[0]) - _per_slice(centers[:, 0])
    cos, sin = _per_slice(np.cos(angles)), _per_slice(np.sin(angles))
    rx, ry = _per_slice(radii[:, 0]), _per_slice(radii[:, 1])
    return dx * (cos / rx) + dy * (sin / rx), dy * (cos / ry) - dx * (sin / ry)


def _pixel_mm(part: slice, spacing: float) -> np.ndarray:
    return (np.arange(part.start, part.stop) * spacing).astype(np.float32)


def _per_slice(values: ArrayLike) -> np.ndarray:
    return np.asarray(values, np.float32)[:, None, None]
