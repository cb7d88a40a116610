import math

import torch
from mmdet.structures.bbox import BaseBoxes, register_box

from .sphere_overlaps import sphere_overlaps

AXES = ('z', 'y', 'x')


@register_box('sphere')
class SphereBoxes(BaseBoxes):
    """Lesions in a volume as spheres: centre z, y, x and diameter (3D Aggregated Faster R-CNN).

    In mmdet's box types its name is ``'sphere'``. Lengths are voxels of an isotropic grid, in which
    voxel i extends from i to i + 1; shapes of volumes are (D, H, W), along z, y and x. What a
    sphere is to a method that mmdet writes for rectangles is said there; what would make it
    anything but a sphere is not implemented.

    Args:
        data (Tensor | ndarray | Sequence): (..., 4) z, y, x, diameter.
        dtype (torch.dtype, optional): Defaults to None, that of the data.
        device (str | torch.device, optional): Defaults to None, that of the data.
        clone (bool): Whether to copy the data. Defaults to True.
    """

    box_dim = 4

    @property
    def centers(self):
        """Tensor: Centres (..., 3) z, y, x."""
        return self.tensor[..., :3]

    @property
    def diameters(self):
        """Tensor: (...,)."""
        return self.tensor[..., 3]

    @property
    def volumes(self):
        """Tensor: Volumes (...,) of the spheres, voxels."""
        return math.pi / 6 * self.diameters**3

    @property
    def areas(self):
        """Tensor: As ``volumes``: where mmdet asks for areas, it asks for how large boxes are."""
        return self.volumes

    @property
    def widths(self):
        """Tensor: Extents (...,) along x, the diameters."""
        return self.diameters

    @property
    def heights(self):
        """Tensor: Extents (...,) along y, the diameters."""
        return self.diameters

    @property
    def depths(self):
        """Tensor: Extents (...,) along z, the diameters."""
        return self.diameters

    @property
    def cubes(self):
        """Tensor: Bounding cubes (..., 6): first z, y, x and last z, y, x."""
        radii = self.tensor[..., 3:] / 2
        return torch.cat([self.centers - radii, self.centers + radii], -1)

    def flip_(self, img_shape, direction='x'):
        """Flip in place.

        Args:
            img_shape (Sequence[int]): Volume (D, H, W).
            direction (str): Axis to flip along: ``'z'``, ``'y'`` or ``'x'``. Defaults to ``'x'``.

        Raises:
            ValueError: If there is no such axis.
        """
        if direction not in AXES:
            raise ValueError(f'direction must be one of {AXES}, not {direction!r}')
        axis = AXES.index(direction)
        self.tensor[..., axis] = img_shape[axis] - self.tensor[..., axis]

    def translate_(self, distances):
        """Move in place.

        Args:
            distances (Sequence[float]): Along z, y and x.

        Raises:
            ValueError: If there are not three.
        """
        if len(distances) != 3:
            raise ValueError(f'distances are three, along z, y and x, not {len(distances)}')
        self.tensor = self.tensor + self.tensor.new_tensor([*distances, 0])

    def clip_(self, img_shape):
        """Keep all as they are: a lesion that the border of a volume cuts is still that sphere.

        Args:
            img_shape (Sequence[int]): Volume (D, H, W).
        """

    def rescale_(self, scale_factor):
        """Scale centres and diameters in place.

        Args:
            scale_factor (float | Sequence[float]): One factor, or the same for z, y and x.

        Raises:
            ValueError: If the factors differ: that would make ellipsoids.
        """
        self.tensor = self.tensor * _isotropic(scale_factor)

    def resize_(self, scale_factor):
        """Scale diameters in place, about the centres.

        Args:
            scale_factor (float | Sequence[float]): One factor, or the same for z, y and x.

        Raises:
            ValueError: If the factors differ: that would make ellipsoids.
        """
        self.tensor = self.tensor * self.tensor.new_tensor([1, 1, 1, _isotropic(scale_factor)])

    def is_inside(self, img_shape, all_inside=False, allowed_border=0):
        """Find the spheres in a volume.

        Args:
            img_shape (Sequence[int]): Volume (D, H, W).
            all_inside (bool): Whether all of a sphere must be inside, and not a part. Defaults to
                False.
            allowed_border (float): By how much the volume is extended on every side, voxels.
                Defaults to 0.

        Returns:
            BoolTensor: (...,).
        """
        centers, radii = self.centers, self.diameters / 2
        first = centers.new_full((3,), -allowed_border)
        last = centers.new_tensor(img_shape) + allowed_border
        if all_inside:
            edges = radii[..., None]
            return ((centers - edges >= first) & (centers + edges <= last)).all(-1)
        nearest = torch.minimum(torch.maximum(centers, first), last)
        return (centers - nearest).norm(dim=-1) < radii

    def find_inside_points(self, points, is_aligned=False):
        """Find the points in spheres, their surfaces included. The spheres must be (n, 4).

        Args:
            points (Tensor): (m, 3) z, y, x.
            is_aligned (bool): Whether point i is compared with sphere i alone; m must then be n.
                Defaults to False.

        Returns:
            BoolTensor: (m, n), or (m,) if aligned.

        Raises:
            ValueError: If the spheres are not (n, 4), or aligned numbers differ.
        """
        if self.dim() != 2:
            raise ValueError(f'spheres must be (n, 4), not {tuple(self.shape)}')
        if is_aligned and len(points) != len(self):
            raise ValueError(f'{len(points)} points cannot be aligned with {len(self)} spheres')
        points = points if is_aligned else points[:, None]
        return (points - self.centers).norm(dim=-1) <= self.diameters / 2

    @staticmethod
    def overlaps(boxes1, boxes2, mode='iou', is_aligned=False, eps=1e-6):
        """Measure overlaps of the bounding cubes.

        Args:
            boxes1 (SphereBoxes): (m, 4).
            boxes2 (SphereBoxes): (n, 4).
            mode (str): ``'iou'`` or ``'iof'``, over the volume of the first. Defaults to ``'iou'``.
            is_aligned (bool): Whether boxes of the same row are measured. Defaults to False.
            eps (float): Least volume that is divided by. Defaults to 1e-6.

        Returns:
            Tensor: (m, n), or (m,) if aligned.
        """
        boxes1, boxes2 = boxes1.convert_to('sphere'), boxes2.convert_to('sphere')
        return sphere_overlaps(boxes1.tensor, boxes2.tensor, mode, is_aligned, eps)

    def rotate_(self, center, angle):
        """Not implemented: mmdet's rotation is one of a plane."""
        raise NotImplementedError('spheres are not rotated: a volume has no one plane to rotate in')

    def project_(self, homography_matrix):
        """Not implemented: spheres do not stay spheres."""
        raise NotImplementedError(
            'a projection does not keep spheres: use flip_, translate_ and rescale_'
        )

    @staticmethod
    def from_instance_masks(masks):
        """Not implemented: mmdet's masks are those of images."""
        raise NotImplementedError("spheres are not made of mmdet's masks, which are planar")


def _isotropic(scale_factor):
    """The one factor (float) of all axes."""
    if isinstance(scale_factor, (int, float)):
        return float(scale_factor)
    factors = {float(factor) for factor in scale_factor}
    if len(factors) != 1 or len(scale_factor) != 3:
        raise ValueError(f'spheres need one factor, or the same for z, y and x, not {scale_factor}')
    return factors.pop()
