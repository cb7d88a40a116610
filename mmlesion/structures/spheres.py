"""Lesions in volumes as spheres: mmdet's box type, and overlaps.

It imports torch and mmdet, which the rest of :mod:`mmlesion.structures` does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Union

import torch
from mmdet.structures.bbox import BaseBoxes, register_box

from mmlesion.utils import OptionError

AXES = ('z', 'y', 'x')
SHAPES = ('cube', 'sphere')

IsotropicFactor = Union[float, Sequence[float]]


@register_box('sphere')
class SphereBoxes(BaseBoxes):
    """Lesions in a volume as spheres: center z, y, x and diameter (3D Aggregated Faster R-CNN).

    In mmdet's box types its name is ``'sphere'``. Lengths are voxels of an isotropic grid, in which
    voxel i extends from i to i + 1; shapes of volumes are (D, H, W), along z, y and x. What a
    sphere is to a method that mmdet writes for rectangles is said there; what would make it
    anything but a sphere is not implemented.

    Args:
        data: (..., 4) z, y, x, diameter.
        dtype: Defaults to None, that of the data.
        device: Defaults to None, that of the data.
        clone: Whether to copy the data. Defaults to True.
    """

    box_dim = 4
    tensor: torch.Tensor

    @property
    def centers(self) -> torch.Tensor:
        """Tensor: Centers (..., 3) z, y, x."""
        return self.tensor[..., :3]

    @property
    def diameters(self) -> torch.Tensor:
        """Tensor: (...,)."""
        return self.tensor[..., 3]

    @property
    def volumes(self) -> torch.Tensor:
        """Tensor: Volumes (...,) of the spheres, voxels."""
        return math.pi / 6 * self.diameters**3

    @property
    def areas(self) -> torch.Tensor:
        """Tensor: Alias of ``volumes``; mmdet uses areas to compare box sizes."""
        return self.volumes

    @property
    def widths(self) -> torch.Tensor:
        """Tensor: Extents (...,) along x, the diameters."""
        return self.diameters

    @property
    def heights(self) -> torch.Tensor:
        """Tensor: Extents (...,) along y, the diameters."""
        return self.diameters

    @property
    def depths(self) -> torch.Tensor:
        """Tensor: Extents (...,) along z, the diameters."""
        return self.diameters

    @property
    def cubes(self) -> torch.Tensor:
        """Tensor: Bounding cubes (..., 6): first z, y, x and last z, y, x."""
        radii = self.tensor[..., 3:] / 2
        return torch.cat([self.centers - radii, self.centers + radii], -1)

    def flip_(self, img_shape: Sequence[int], direction: str = 'x') -> None:
        """Flip in place.

        Args:
            img_shape: Volume (D, H, W).
            direction: Axis to flip along: ``'z'``, ``'y'`` or ``'x'``. Defaults to ``'x'``.

        Raises:
            ValueError: If there is no such axis.
        """
        if direction not in AXES:
            raise ValueError(f'direction must be one of {AXES}, not {direction!r}')
        axis = AXES.index(direction)
        self.tensor[..., axis] = img_shape[axis] - self.tensor[..., axis]

    def translate_(self, distances: Sequence[float]) -> None:
        """Move in place.

        Args:
            distances: Along z, y and x.

        Raises:
            ValueError: If there are not three.
        """
        if len(distances) != 3:
            raise ValueError(f'distances are three, along z, y and x, not {len(distances)}')
        z, y, x = distances
        self.tensor = self.tensor + self.tensor.new_tensor([z, y, x, 0])

    def clip_(self, img_shape: Sequence[int]) -> None:
        """Do nothing: a sphere that extends beyond the volume is not clipped.

        Args:
            img_shape: Volume (D, H, W).
        """

    def rescale_(self, scale_factor: IsotropicFactor) -> None:
        """Scale centers and diameters in place.

        Args:
            scale_factor: One factor, or the same for z, y and x.

        Raises:
            ValueError: If the factors differ: that would make ellipsoids.
        """
        self.tensor = self.tensor * _isotropic(scale_factor)

    def resize_(self, scale_factor: IsotropicFactor) -> None:
        """Scale diameters in place, around the centers.

        Args:
            scale_factor: One factor, or the same for z, y and x.

        Raises:
            ValueError: If the factors differ: that would make ellipsoids.
        """
        self.tensor = self.tensor * self.tensor.new_tensor([1, 1, 1, _isotropic(scale_factor)])

    def is_inside(
        self, img_shape: Sequence[int], all_inside: bool = False, allowed_border: float = 0
    ) -> torch.Tensor:
        """Find the spheres in a volume.

        Args:
            img_shape: Volume (D, H, W).
            all_inside: Whether all of a sphere must be inside, and not a part. Defaults to
                False.
            allowed_border: By how much the volume is extended on every side, voxels.
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
        # A part is inside if the volume's point nearest to the center is in the sphere.
        nearest = torch.minimum(torch.maximum(centers, first), last)
        return (centers - nearest).norm(dim=-1) < radii

    def find_inside_points(self, points: torch.Tensor, is_aligned: bool = False) -> torch.Tensor:
        """Find the points in spheres, their surfaces included. The spheres must be (n, 4).

        Args:
            points: (m, 3) z, y, x.
            is_aligned: Whether point i is compared with sphere i alone; m must then be n.
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
    def overlaps(
        boxes1: BaseBoxes,
        boxes2: BaseBoxes,
        mode: str = 'iou',
        is_aligned: bool = False,
        eps: float = 1e-6,
    ) -> torch.Tensor:
        """Measure overlaps of the bounding cubes.

        Args:
            boxes1: (m, 4).
            boxes2: (n, 4).
            mode: ``'iou'`` or ``'iof'``, over the volume of the first. Defaults to ``'iou'``.
            is_aligned: Whether boxes of the same row are measured. Defaults to False.
            eps: Least volume that is divided by. Defaults to 1e-6.

        Returns:
            Tensor: (m, n), or (m,) if aligned.
        """
        boxes1, boxes2 = boxes1.convert_to('sphere'), boxes2.convert_to('sphere')
        return sphere_overlaps(boxes1.tensor, boxes2.tensor, mode, is_aligned, eps)

    def rotate_(self, center: tuple[float, float], angle: float) -> None:
        """Raise NotImplementedError: mmdet's rotation is planar."""
        raise NotImplementedError('spheres are not rotated: a volume has no one plane to rotate in')

    def project_(self, homography_matrix: torch.Tensor) -> None:
        """Raise NotImplementedError: projections do not preserve spheres."""
        raise NotImplementedError(
            'a projection does not keep spheres: use flip_, translate_ and rescale_'
        )

    @staticmethod
    def from_instance_masks(masks: object) -> SphereBoxes:
        """Raise NotImplementedError: mmdet's masks are 2D."""
        raise NotImplementedError("spheres are not made of mmdet's masks, which are planar")


def _isotropic(scale_factor: IsotropicFactor) -> float:
    """Return the common factor (float) of all axes."""
    if isinstance(scale_factor, (int, float)):
        return float(scale_factor)
    factors = {float(factor) for factor in scale_factor}
    if len(factors) != 1 or len(scale_factor) != 3:
        raise ValueError(f'spheres need one factor, or the same for z, y and x, not {scale_factor}')
    return factors.pop()


def sphere_overlaps(
    spheres1: torch.Tensor,
    spheres2: torch.Tensor,
    mode: str = 'iou',
    is_aligned: bool = False,
    eps: float = 1e-6,
    shape: str = 'cube',
) -> torch.Tensor:
    """Measure how spheres overlap, by their bounding cubes or by themselves.

    Args:
        spheres1: (m, 4) z, y, x, diameter.
        spheres2: (n, 4); aligned, n must be m.
        mode: ``'iou'``, intersection over union, or ``'iof'``, over the volume of the first.
            Defaults to ``'iou'``.
        is_aligned: Whether pairs of the same row are measured, and not all. Defaults to
            False.
        eps: Least volume that is divided by. Defaults to 1e-6.
        shape: ``'cube'``, the bounding cubes, or ``'sphere'``, in closed form. Defaults to
            ``'cube'``.

    Returns:
        Tensor: (m, n), or (m,) if aligned; at least single precision.

    Raises:
        ValueError: If ``mode`` or ``shape`` is none of these, or aligned numbers differ.
    """
    if mode not in ('iou', 'iof'):
        raise ValueError(f"mode must be 'iou' or 'iof', not {mode!r}")
    check_shape('shape', shape)
    if is_aligned and len(spheres1) != len(spheres2):
        raise ValueError(f'{len(spheres1)} spheres cannot be aligned with {len(spheres2)}')
    # volumes overflow half precision, and differences of its coordinates are coarse
    dtype = torch.promote_types(torch.promote_types(spheres1.dtype, spheres2.dtype), torch.float32)
    spheres1, spheres2 = spheres1.to(dtype), spheres2.to(dtype)
    if not is_aligned:
        spheres1, spheres2 = spheres1[:, None], spheres2[None]
    intersect, unit = (
        (_intersect_cubes, 1) if shape == 'cube' else (_intersect_spheres, math.pi / 6)
    )
    inter = intersect(spheres1, spheres2)
    divisor = unit * spheres1[..., 3] ** 3
    if mode == 'iou':
        divisor = divisor + unit * spheres2[..., 3] ** 3 - inter
    return inter / divisor.clamp(min=eps)


def check_shape(option: str, shape: str, owner: object = None) -> None:
    """Check the name of a shape.

    Args:
        option: The option's name, for the error message.
        shape: The name of the shape.
        owner: The component whose option it is, for the error message.

    Raises:
        OptionError: If it is none of ``SHAPES``.
    """
    if shape not in SHAPES:
        raise OptionError(f'{option} must be one of {SHAPES}, not {shape!r}', owner)


def _intersect_cubes(spheres1: torch.Tensor, spheres2: torch.Tensor) -> torch.Tensor:
    """Return the intersection volume of the bounding cubes of spheres (..., 4)."""
    half1, half2 = spheres1[..., 3] / 2, spheres2[..., 3] / 2
    volume = spheres1.new_ones(())
    for axis in range(3):  # an axis at a time: (m, n, 3) would take three times the memory
        center1, center2 = spheres1[..., axis], spheres2[..., axis]
        end = torch.minimum(center1 + half1, center2 + half2)
        start = torch.maximum(center1 - half1, center2 - half2)
        volume = volume * (end - start).clamp(min=0)
    return volume


def _intersect_spheres(spheres1: torch.Tensor, spheres2: torch.Tensor) -> torch.Tensor:
    """Return the intersection volume of spheres (..., 4): a lens, the smaller one, or 0."""
    radius1, radius2 = spheres1[..., 3] / 2, spheres2[..., 3] / 2
    squared = spheres1.new_zeros(())
    for axis in range(3):  # as in _intersect_cubes
        squared = squared + (spheres1[..., axis] - spheres2[..., axis]) ** 2
    distance = squared.sqrt()
    total, difference = radius1 + radius2, (radius1 - radius2).abs()
    # The lens is two caps: pi / (12 d) (r1 + r2 - d)^2 (d^2 + 2 d (r1 + r2) - 3 (r1 - r2)^2).
    # depth of the lens along the line of centers; 0 where the spheres do not meet
    depth = (total - distance).clamp(min=0)
    lens = distance**2 + 2 * distance * total - 3 * difference**2
    lens = math.pi / 12 * depth**2 * lens / distance.clamp(min=torch.finfo(distance.dtype).tiny)
    # where one lies in the other, the smaller one's volume
    inside = math.pi * 4 / 3 * torch.minimum(radius1, radius2) ** 3
    return torch.where(distance <= difference, inside, lens)
