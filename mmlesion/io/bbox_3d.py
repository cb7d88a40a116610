"""3D boxes in annotation files of volumes, and the spheres that detectors of volumes find.

``bbox_3d`` is x, y, z, w, h, d in mm: the center in the world (LPS), and the size along the
volume's own x, y and z axes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mmlesion.structures import Grid
from mmlesion.utils import UserError


def to_bbox_3d(boxes: ArrayLike, grid: Grid) -> list[list[float]]:
    """Convert boxes from voxels to ``bbox_3d``.

    Args:
        boxes: (n, 6) z1, y1, x1, z2, y2, x2 in voxels, voxel i from i to i + 1.
        grid: Where the voxels lie.

    Returns:
        list[list[float]]: n times x, y, z, w, h, d in mm.
    """
    boxes = np.asarray(boxes, float).reshape(-1, 6)
    # each (n, 3) in voxels, z, y, x
    low, high = boxes[:, :3], boxes[:, 3:]
    centers = grid.to_world((low + high) / 2)
    # the other way round: grid.spacing is of x, y, z, as bbox_3d is
    sizes = (high - low)[:, ::-1] * grid.spacing
    return np.concatenate([centers, sizes], axis=1).round(6).tolist()


def with_sphere(annotation: dict) -> dict:
    """Give an annotation that has ``bbox_3d`` alone the sphere that stands for the box.

    Its center is the box's, its diameter the box's longest side, as DeepLesion's boxes become
    spheres (3D Aggregated Faster R-CNN, section V).

    Args:
        annotation: Of an annotation file of volumes.

    Returns:
        dict: With ``center_mm`` and ``diameter_mm``; what it has of them itself stays.

    Raises:
        UserError: If ``bbox_3d`` is not six finite numbers, the last three positive.
    """
    if 'bbox_3d' not in annotation or 'center_mm' in annotation and 'diameter_mm' in annotation:
        return annotation
    try:
        box = np.array(annotation['bbox_3d'], float)
    except (TypeError, ValueError):
        box = np.empty(0)
    if box.shape != (6,) or not np.isfinite(box).all() or box[3:].min() <= 0:
        raise UserError(
            f'bbox_3d is {annotation["bbox_3d"]}: give x, y, z, w, h, d in mm, the size positive'
        )
    # the largest side is the diameter, so that the sphere spans the box along each axis
    sphere = {'center_mm': box[:3].tolist(), 'diameter_mm': float(box[3:].max())}
    return {**sphere, **annotation}
