"""Position of a volume's voxels in world coordinates.

The one convention of volumes in memory:

- Voxel coordinates are z, y, x and continuous: voxel i extends from i to i + 1, with its center at
  i + 0.5. Boxes are z1, y1, x1, z2, y2, x2 in them, spheres z, y, x and diameter.
- World points are x, y, z in mm, LPS, as SimpleITK and DICOM have them.
- Results in the coordinates of a file have SimpleITK's index i, j, k (:func:`to_index`), whose
  integers are voxel centers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    import SimpleITK as sitk


@dataclass(frozen=True)
class Grid:
    """Grid of a volume's voxels in world coordinates; see the module for the convention.

    The fields are those of a volume in an annotation file, in the order that SimpleITK has them but
    for ``size``.

    Attributes:
        size: Voxels z, y, x.
        spacing: mm per voxel along x, y, z.
        origin: World point of the first voxel's center.
        direction: Nine direction cosines, row by row; the columns are the world
            directions of x, y, z.
    """

    size: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    direction: tuple[float, ...]

    @classmethod
    def from_image(cls, image: sitk.Image) -> Grid:
        """Construct from a 3D image."""
        size, spacing = image.GetSize()[::-1], image.GetSpacing()
        return cls(size, spacing, image.GetOrigin(), image.GetDirection())

    @classmethod
    def from_annotation(cls, volume: Mapping) -> Grid:
        """Construct from a volume's entry in an annotation file, or from a sample.

        Args:
            volume: With ``size``, ``spacing``, ``origin`` and ``direction``.
        """
        return cls(volume['size'], volume['spacing'], volume['origin'], volume['direction'])

    def to_world(self, points: ArrayLike) -> np.ndarray:
        """Convert points from voxels to the world.

        Args:
            points: (n, 3) z, y, x voxels.

        Returns:
            ndarray: (n, 3) x, y, z in mm.
        """
        # the origin is the first voxel's center, which is 0 in SimpleITK's index
        return to_index(points) @ self._axes.T + self.origin

    def from_world(self, points: ArrayLike) -> np.ndarray:
        """Convert points from the world to voxels; the inverse of :meth:`to_world`."""
        # rounded in a header, a direction is no exact rotation: its transpose is not its inverse
        offsets = np.asarray(points, float).reshape(-1, 3) - self.origin
        return from_index(np.linalg.solve(self._axes, offsets.T).T)

    def contains(self, points: ArrayLike) -> np.ndarray:
        """Find the points that lie in the volume.

        Args:
            points: (n, 3) x, y, z in mm of the world.

        Returns:
            ndarray: (n,) bool.
        """
        voxels = self.from_world(points)
        return np.all((voxels >= 0) & (voxels < self.size), axis=1)

    def spheres_to_world(self, spheres: ArrayLike) -> np.ndarray:
        """Convert spheres from voxels, which must be cubes, to the world.

        Args:
            spheres: (n, 4) z, y, x and diameter in voxels.

        Returns:
            ndarray: (n, 4) x, y, z and diameter in mm.

        Raises:
            ValueError: If the voxels are not cubes.
        """
        spheres = np.asarray(spheres, float).reshape(-1, 4)
        return np.column_stack([self.to_world(spheres[:, :3]), spheres[:, 3] * self._voxel_side])

    def spheres_from_world(self, spheres: ArrayLike) -> np.ndarray:
        """Convert spheres from the world to voxels; the inverse of :meth:`spheres_to_world`."""
        spheres = np.asarray(spheres, float).reshape(-1, 4)
        return np.column_stack([self.from_world(spheres[:, :3]), spheres[:, 3] / self._voxel_side])

    def boxes_around(self, spheres: ArrayLike) -> np.ndarray:
        """Return bounding boxes of world spheres in voxels, which may be anisotropic.

        Args:
            spheres: (n, 4) x, y, z and diameter in mm.

        Returns:
            ndarray: (n, 6) boxes z1, y1, x1, z2, y2, x2 in voxels.
        """
        spheres = np.asarray(spheres, float).reshape(-1, 4)
        centers = self.from_world(spheres[:, :3])
        radii = spheres[:, 3:] / 2 / np.array(self.spacing)[::-1]  # (n, 3) voxels along z, y, x
        return np.concatenate([centers - radii, centers + radii], axis=1)

    @property
    def _axes(self) -> np.ndarray:
        """Return the world step in mm per voxel along x, y, z as columns (3, 3)."""
        # row by row, so that spacing scales the columns, which are the directions of x, y, z
        return np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)

    @property
    def _voxel_side(self) -> float:
        side = self.spacing[0]
        if not np.allclose(self.spacing, side):
            raise ValueError(f'spheres need isotropic voxels, but the spacing is {self.spacing} mm')
        return side


def to_index(points: ArrayLike) -> np.ndarray:
    """Convert voxel coordinates to SimpleITK's index.

    Args:
        points: (n, 3) z, y, x; voxel 0 has its center at 0.5.

    Returns:
        ndarray: (n, 3) i, j, k; voxel 0 has its center at 0.
    """
    return np.asarray(points, float).reshape(-1, 3)[:, ::-1] - 0.5


def from_index(points: ArrayLike) -> np.ndarray:
    """Convert SimpleITK's index to voxel coordinates; the inverse of :func:`to_index`."""
    return np.asarray(points, float).reshape(-1, 3)[:, ::-1] + 0.5
