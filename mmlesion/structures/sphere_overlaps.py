"""Overlaps of spheres (z, y, x, diameter), in voxels or any one unit."""

import math

import torch

SHAPES = ('cube', 'sphere')


def sphere_overlaps(spheres1, spheres2, mode='iou', is_aligned=False, eps=1e-6, shape='cube'):
    """Measure how spheres overlap, by their bounding cubes or by themselves.

    Args:
        spheres1 (Tensor): (m, 4) z, y, x, diameter.
        spheres2 (Tensor): (n, 4); aligned, n must be m.
        mode (str): ``'iou'``, intersection over union, or ``'iof'``, over the volume of the first.
            Defaults to ``'iou'``.
        is_aligned (bool): Whether pairs of the same row are measured, and not all. Defaults to
            False.
        eps (float): Least volume that is divided by. Defaults to 1e-6.
        shape (str): ``'cube'``, the bounding cubes, or ``'sphere'``, in closed form. Defaults to
            ``'cube'``.

    Returns:
        Tensor: (m, n), or (m,) if aligned; at least single precision.

    Raises:
        ValueError: If ``mode`` or ``shape`` is none of these, or aligned numbers differ.
    """
    if mode not in ('iou', 'iof'):
        raise ValueError(f"mode must be 'iou' or 'iof', not {mode!r}")
    check_shape(shape)
    if is_aligned and len(spheres1) != len(spheres2):
        raise ValueError(f'{len(spheres1)} spheres cannot be aligned with {len(spheres2)}')
    # volumes overflow half precision, and differences of its coordinates are coarse
    dtype = torch.promote_types(torch.promote_types(spheres1.dtype, spheres2.dtype), torch.float32)
    spheres1, spheres2 = spheres1.to(dtype), spheres2.to(dtype)
    if not is_aligned:
        spheres1, spheres2 = spheres1[:, None], spheres2[None]
    intersect, unit = (_meet_cubes, 1) if shape == 'cube' else (_meet_spheres, math.pi / 6)
    inter = intersect(spheres1, spheres2)
    divisor = unit * spheres1[..., 3] ** 3
    if mode == 'iou':
        divisor = divisor + unit * spheres2[..., 3] ** 3 - inter
    return inter / divisor.clamp(min=eps)


def check_shape(shape):
    """Check the name of a shape.

    Raises:
        ValueError: If it is none of ``SHAPES``.
    """
    if shape not in SHAPES:
        raise ValueError(f'shape must be one of {SHAPES}, not {shape!r}')


def _meet_cubes(spheres1, spheres2):
    """Volume that the bounding cubes of spheres (..., 4) share."""
    half1, half2 = spheres1[..., 3] / 2, spheres2[..., 3] / 2
    volume = 1
    for axis in range(3):  # an axis at a time: (m, n, 3) would take three times the memory
        center1, center2 = spheres1[..., axis], spheres2[..., axis]
        end = torch.minimum(center1 + half1, center2 + half2)
        start = torch.maximum(center1 - half1, center2 - half2)
        volume = volume * (end - start).clamp(min=0)
    return volume


def _meet_spheres(spheres1, spheres2):
    """Volume that spheres (..., 4) share: a lens, the smaller of them, or nothing."""
    radius1, radius2 = spheres1[..., 3] / 2, spheres2[..., 3] / 2
    distance = sum((spheres1[..., axis] - spheres2[..., axis]) ** 2 for axis in range(3)).sqrt()
    total, difference = radius1 + radius2, (radius1 - radius2).abs()
    depth = (total - distance).clamp(min=0)
    lens = distance**2 + 2 * distance * total - 3 * difference**2
    lens = math.pi / 12 * depth**2 * lens / distance.clamp(min=torch.finfo(distance.dtype).tiny)
    inside = math.pi * 4 / 3 * torch.minimum(radius1, radius2) ** 3
    return torch.where(distance <= difference, inside, lens)
