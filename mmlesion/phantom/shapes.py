"""Painting of soft-edged, optionally lobed ellipses into a volume, slice by slice."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Slices on which a shape is thinner than this (mm) do not show it.
_VANISHED = 1e-3


@dataclass(frozen=True)
class Grid:
    """Position of the voxels of a stack of axial slices in the patient.

    Attributes:
        size (int): Rows and columns of a slice, px.
        spacing (float): In-plane mm per pixel.
        origin (tuple[float]): x, y in mm of the center of pixel (0, 0).
        z (ndarray): (n,) height of each slice in mm, growing from superior to inferior.
    """

    size: int
    spacing: float
    origin: tuple
    z: np.ndarray

    def to_px(self, points):
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

    amplitudes: tuple
    phases: tuple

    def __call__(self, angle):
        """Return the relative change of the radius at angles from the first axis."""
        (a0, a1, a2), (p1, p2) = self.amplitudes, self.phases
        ripple = a0 + a1 * np.cos(angle + p1) + a2 * np.cos(2 * angle + p2)
        return np.sin(2 * angle) * ripple

    @property
    def reach(self):
        """Return the maximum increase of a radius."""
        return float(np.abs(self.amplitudes).sum())


def coverage(grid, section, edge, lobes=None):
    """Return the fraction of each voxel covered by a shape, in the shape's bounding box.

    Args:
        grid (Grid): The slices, n of them.
        section (Section): What they cut of the shape.
        edge (float): Width in mm over which the cover falls from 1 to 0, half of it outside.
        lobes (Lobes, optional): Ripple of the outline.

    Returns:
        tuple | None: Slices (z, y, x) of the volume and the (z, y, x) cover in [0, 1]; None where
        the shape lies outside the grid.
    """
    alive = np.flatnonzero(section.radii.min(axis=1) > _VANISHED)
    if len(alive) == 0:
        return None
    stack = slice(alive[0], alive[-1] + 1)
    centers, radii, angles = (part[stack] for part in section)
    box = _bounding_box(grid, centers, radii, edge, lobes.reach if lobes else 0.0)
    if box is None:
        return None
    u, v = _ellipse_frame(grid, box, centers, np.maximum(radii, _VANISHED), angles)
    distance = np.sqrt(u * u + v * v)
    if lobes is not None:
        distance /= 1 + lobes(np.arctan2(v, u))
    steep = (radii.min(axis=1) / edge).astype(np.float32)[:, None, None]
    return (stack, *box), np.clip((1 - distance) * steep + 0.5 * (steep > 0), 0, 1)


def blend(volume, where, cover, value):
    """Blend ``value`` into ``volume[where]`` with the weights ``cover`` (0 to 1), in place."""
    view = volume[where]
    view += cover * (value - view)


def _bounding_box(grid, centers, radii, edge, reach):
    margin = radii.max(axis=1, keepdims=True) * (1 + reach) + edge
    low = np.floor(grid.to_px((centers - margin).min(axis=0))).astype(int)
    high = np.ceil(grid.to_px((centers + margin).max(axis=0))).astype(int) + 1
    low, high = np.clip(low, 0, grid.size), np.clip(high, 0, grid.size)
    if (low >= high).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _ellipse_frame(grid, box, centers, radii, angles):
    """Return coordinates in which each slice's ellipse is the unit circle, two (n, h, w) arrays."""
    axes = (np.arange(part.start, part.stop) * grid.spacing for part in box)
    rows, columns = (axis.astype(np.float32) for axis in axes)
    dy = rows[None, :, None] + np.float32(grid.origin[1]) - _per_slice(centers[:, 1])
    dx = columns[None, None, :] + np.float32(grid.origin[0]) - _per_slice(centers[:, 0])
    cos, sin = _per_slice(np.cos(angles)), _per_slice(np.sin(angles))
    rx, ry = _per_slice(radii[:, 0]), _per_slice(radii[:, 1])
    return dx * (cos / rx) + dy * (sin / rx), dy * (cos / ry) - dx * (sin / ry)


def _per_slice(values):
    return np.asarray(values, np.float32)[:, None, None]
