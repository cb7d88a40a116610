from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class VolumeGrid:
    """Where the voxels of a volume lie in the world.

    Voxel coordinates are (z, y, x) and continuous: voxel i extends from i to i + 1, with its centre
    at i + 0.5. World points are (x, y, z) in mm, LPS. The fields are those of a volume in an
    annotation file, in the order that SimpleITK has them but for ``size``.

    Attributes:
        size (tuple[int]): Voxels z, y, x.
        spacing (tuple[float]): mm per voxel along x, y, z.
        origin (tuple[float]): World point of the first voxel's centre.
        direction (tuple[float]): Nine direction cosines, row by row; the columns are the world
            directions of x, y, z.
    """

    size: tuple
    spacing: tuple
    origin: tuple
    direction: tuple

    @classmethod
    def of(cls, image):
        """The grid of a SimpleITK image."""
        size, spacing = image.GetSize()[::-1], image.GetSpacing()
        return cls(size, spacing, image.GetOrigin(), image.GetDirection())

    def to_world(self, points):
        """Take voxel coordinates to the world.

        Args:
            points (ndarray): (n, 3) z, y, x.

        Returns:
            ndarray: (n, 3) x, y, z in mm.
        """
        index = np.asarray(points, float).reshape(-1, 3)[:, ::-1] - 0.5
        return index @ self._axes.T + self.origin

    def from_world(self, points):
        """The inverse of :meth:`to_world`."""
        offsets = np.asarray(points, float).reshape(-1, 3) - self.origin
        return np.linalg.solve(self._axes, offsets.T).T[:, ::-1] + 0.5

    def spheres_to_world(self, spheres):
        """Take spheres to the world; the voxels must be cubes.

        Args:
            spheres (ndarray): (n, 4) z, y, x and diameter in voxels.

        Returns:
            ndarray: (n, 4) x, y, z and diameter in mm.
        """
        spheres = np.asarray(spheres, float).reshape(-1, 4)
        return np.column_stack([self.to_world(spheres[:, :3]), spheres[:, 3] * self._voxel_side])

    def spheres_from_world(self, spheres):
        """The inverse of :meth:`spheres_to_world`."""
        spheres = np.asarray(spheres, float).reshape(-1, 4)
        return np.column_stack([self.from_world(spheres[:, :3]), spheres[:, 3] / self._voxel_side])

    @property
    def _axes(self):
        """(3, 3) mm that a step of one voxel along x, y, z makes in the world, as columns."""
        return np.reshape(self.direction, (3, 3)) * np.asarray(self.spacing)

    @property
    def _voxel_side(self):
        side = self.spacing[0]
        if not np.allclose(self.spacing, side):
            raise ValueError(f'a sphere is none in voxels of {self.spacing} mm: they are not cubes')
        return side
