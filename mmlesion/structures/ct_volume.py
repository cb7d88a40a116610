import numpy as np
import SimpleITK as sitk

from .volume_grid import VolumeGrid


def index_to_world(image):
    """The affine that takes voxel indices (i, j, k) to world points (x, y, z) in mm, LPS.

    Args:
        image (sitk.Image): A 3D image.

    Returns:
        ndarray: (4, 4) matrix for homogeneous column vectors. Integer indices are voxel centres.
    """
    affine = np.eye(4)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    affine[:3, :3] = direction * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return affine


class CTVolume:
    """A CT volume as the detectors see it, and the way back to its own coordinates.

    The training orientation is DeepLesion's: columns run to the patient's Left, rows to Posterior,
    slices to Inferior. Axes are flipped and permuted to come nearest to it, never resampled, so
    that an oblique volume stays oblique and every voxel keeps its value and its place in the world.

    Boxes in the training frame have mmdet's convention in all three axes: voxel n extends from n to
    n + 1. Voxel coordinates of the original volume have ITK's: voxel n extends from n - 0.5 to
    n + 0.5.

    Args:
        image (sitk.Image): 3D volume in HU.

    Attributes:
        image (sitk.Image): The volume as given.
        array (ndarray): (z, y, x) HU in the training orientation.
        spacing (tuple[float]): (x, y, z) mm of ``array``.
        grid (VolumeGrid): Where the voxels of ``array`` lie in the world.
        slice_axis (int): Which axis (0, 1, 2 for i, j, k) of the original volume the slices of
            ``array`` were stacked along.
    """

    ORIENTATION = 'LPI'

    def __init__(self, image):
        self.image = image
        oriented = sitk.DICOMOrient(image, self.ORIENTATION)
        self.array = sitk.GetArrayFromImage(oriented)
        self.spacing = oriented.GetSpacing()
        self.grid = VolumeGrid.of(oriented)
        # Rounding makes exact what is a signed permutation and an integer shift by construction.
        self._to_voxels = np.linalg.solve(index_to_world(image), index_to_world(oriented)).round()
        self.slice_axis = int(np.abs(self._to_voxels[:3, 2]).argmax())

    def to_voxels(self, boxes):
        """Take boxes from the training frame to the original volume.

        Args:
            boxes (ndarray): (n, 6) boxes x1, y1, z1, x2, y2, z2 in voxels of ``array``.

        Returns:
            ndarray: (n, 6) boxes i1, j1, k1, i2, j2, k2 in voxel coordinates of ``image``.
        """
        return _transform_boxes(self._to_voxels, np.asarray(boxes, float).reshape(-1, 6) - 0.5)

    def from_voxels(self, boxes):
        """The inverse of :meth:`to_voxels`."""
        boxes = np.asarray(boxes, float).reshape(-1, 6)
        return _transform_boxes(np.linalg.inv(self._to_voxels), boxes) + 0.5

    def points_to_voxels(self, points):
        """Take points from the training frame to the original volume.

        Args:
            points (ndarray): (n, 3) x, y, z in voxels of ``array``; integers are voxel centres.

        Returns:
            ndarray: (n, 3) voxel coordinates i, j, k of ``image``.
        """
        return _transform(self._to_voxels, np.asarray(points, float).reshape(-1, 3))

    def points_from_voxels(self, points):
        """The inverse of :meth:`points_to_voxels`."""
        points = np.asarray(points, float).reshape(-1, 3)
        return _transform(np.linalg.inv(self._to_voxels), points)

    def slice_number(self, index):
        """The number along ``slice_axis`` of ``image`` that a slice of ``array`` has."""
        return round(self.points_to_voxels((0, 0, index))[0, self.slice_axis])

    def oriented(self, array):
        """Look at an array of the original volume in the training orientation.

        Args:
            array (ndarray): (k, j, i) of ``image``'s size.

        Returns:
            ndarray: (z, y, x) view; what is written to it is written to ``array``.
        """
        axes = self._to_voxels[:3, :3]  # from x, y, z to i, j, k, a 1 or -1 in each column
        order = 2 - np.abs(axes).argmax(axis=0)[::-1]
        steps = axes.sum(axis=0).astype(int)[::-1]
        return array.transpose(order)[tuple(slice(None, None, step) for step in steps)]

    def to_world(self, points):
        """Take points from voxel coordinates of the original volume to the world.

        Args:
            points (ndarray): (n, 3) voxel coordinates i, j, k of ``image``.

        Returns:
            ndarray: (n, 3) points x, y, z in mm, LPS.
        """
        return _transform(index_to_world(self.image), np.asarray(points, float).reshape(-1, 3))


def _transform(affine, points):
    return points @ affine[:3, :3].T + affine[:3, 3]


def _transform_boxes(affine, boxes):
    corners = np.stack([_transform(affine, boxes[:, :3]), _transform(affine, boxes[:, 3:])])
    return np.concatenate([corners.min(0), corners.max(0)], axis=1)
