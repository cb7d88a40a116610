"""Slices through the spheres of a volume."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from .overlays import choose_window


class CutSlice(NamedTuple):
    """A slice through spheres.

    Args:
        number: Its number.
        hu: (y, x) HU.
        sample: The spheres that it intersects, as squares around the circles, x1,
            y1, x2, y2 in px, with the window that suits the first of them.
    """

    number: int
    hu: np.ndarray
    sample: DetDataSample


def sphere_slices(
    volume: np.ndarray, data_sample: DetDataSample, score_thr: float = 0.3, max_slices: int = 8
) -> Iterator[CutSlice]:
    """Draw a volume's lesions and detections on the slices through their centers.

    Args:
        volume: (z, y, x) HU.
        data_sample: ``pred_instances`` with (n, 4) ``bboxes`` z, y, x, diameter in
            voxels, ``scores`` and ``labels``, and ``gt_instances``, if there are any.
        score_thr: The least score of a detection. Defaults to 0.3.
        max_slices: The most slices: those of lesions first, then of the best detections.
            Defaults to 8.

    Yields:
        CutSlice: A slice to draw.
    """
    found = data_sample.pred_instances
    found = found[found.scores >= score_thr].cpu()
    found = found[found.scores.argsort(descending=True)]
    kinds = {'pred_instances': found}
    if 'gt_instances' in data_sample:
        kinds = {'gt_instances': data_sample.gt_instances.cpu(), **kinds}
    spheres = torch.cat([instances.bboxes for instances in kinds.values()])
    # Voxel i extends from i to i + 1: a center lies on the slice of its integer part.
    numbers = spheres[:, 0].floor().clamp(0, len(volume) - 1).int().tolist()
    sphere_of = dict(zip(reversed(numbers), reversed(spheres)))  # the first on each slice
    for number in list(dict.fromkeys(numbers))[:max_slices]:
        hu = np.array(volume[number])
        _, y, x, diameter = sphere_of[number].tolist()
        radius = diameter / 2
        around = [x - radius, y - radius, x + radius, y + radius]
        shapes = dict.fromkeys(('img_shape', 'ori_shape'), hu.shape)
        sample = DetDataSample(metainfo=dict(shapes, windows=[choose_window(hu, around)]))
        for name, instances in kinds.items():
            setattr(sample, name, _cut(instances, number + 0.5))
        yield CutSlice(number, hu, sample)


def _cut(instances: InstanceData, z: float) -> InstanceData:
    """Return squares around the circles in which the plane at ``z`` intersects spheres."""
    spheres = instances.bboxes
    # squares of the circles' radii, negative where the plane misses a sphere
    squared = (spheres[:, 3] / 2) ** 2 - (spheres[:, 0] - z) ** 2
    nearest = (spheres[:, 0] - z).abs() <= 0.5  # through the center, however small the sphere is
    crossed = (squared > 0) | nearest
    radii = squared.clamp(min=0.25).sqrt()[crossed, None]
    middles = spheres[crossed][:, [2, 1]]
    columns = dict(
        bboxes=torch.cat([middles - radii, middles + radii], 1), labels=instances.labels[crossed]
    )
    if 'scores' in instances:
        columns['scores'] = instances.scores[crossed]
    return InstanceData(**columns)
