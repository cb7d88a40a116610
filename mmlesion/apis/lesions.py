"""The lesion record of inference results, its measurements and label maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..structures import Segment, measure_recist, reverse_axes

if TYPE_CHECKING:
    from ..structures.ct_volume import CTVolume

SCORE_THR = 0.3
"""Lowest score of a lesion, where the config has none for its pictures."""
LINK_SCORE_THR = 0.05
"""Lowest score of a box on a slice that becomes a part of a lesion."""
SLICE_BATCH = 4
"""Slices that go through a detector at once."""


@dataclass(frozen=True)
class Lesion:
    """A lesion detected in a CT volume.

    Attributes:
        id: From 1, in descending order of score; the lesion's value in the label map.
        label: Class name.
        score: The detector's confidence, 0 to 1; up to 2 if it calibrates scores.
        center_mm: World point x, y, z in mm, LPS.
        center_voxel: The same point as voxel coordinates i, j, k of the original
            volume; integers are voxel centers.
        bbox_voxel: The box i1, j1, k1, i2, j2, k2 in voxel coordinates of the
            original volume; its faces lie between voxels, where voxel n extends from n - 0.5 to
            n + 0.5.
        diameter_mm: The long RECIST diameter of the lesion's mask on its key slice. Without
            a mask: the longer in-plane side of the box minus the margin on both sides, at least one
            pixel.
        short_diameter_mm: The short diameter, or likewise that of the shorter side.
        diameter_source: 'mask' or 'box'.
        slice_range: First and last slice, 0-based and inclusive, along the original
            volume's slice axis.
        key_slice: The slice where the mask's long diameter is longest, or the middle one.
        recist_voxel: The ends i, j, k of the long diameter, then of
            the short one, in voxel coordinates of the original volume; None without a mask.
        segments: The lesion's mask within its box on the slices of
            ``CTVolume.array`` by their index; empty without a mask.
    """

    id: int
    label: str
    score: float
    center_mm: tuple[float, float, float]
    center_voxel: tuple[float, float, float]
    bbox_voxel: tuple[float, ...]
    diameter_mm: float
    short_diameter_mm: float
    diameter_source: str
    slice_range: tuple[int, int]
    key_slice: int
    recist_voxel: tuple[tuple[float, ...], ...] | None = None
    segments: dict[int, Segment] = field(default_factory=dict, repr=False, compare=False)


def describe_lesions(
    volume: CTVolume,
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    box_margin: float = 0.0,
    segments: Sequence[dict[int, Segment]] | None = None,
) -> list[Lesion]:
    """Convert detected 3D boxes to the coordinates of the original volume.

    Args:
        volume: The volume.
        boxes: (n, 6) boxes x1, y1, z1, x2, y2, z2 in voxels of ``volume.array``, in
            descending order of score.
        scores: (n,) scores.
        labels: (n,) class labels.
        classes: Class names.
        box_margin: mm by which boxes exceed lesions on each side in the slice plane.
        segments: The n lesions' masks by slices of
            ``volume.array``.

    Returns:
        list[Lesion]: The lesions in the same order.
    """
    # z, y, x of the array; then i, j, k of the original volume, and world x, y, z
    frame_boxes = reverse_axes(np.reshape(boxes, (-1, 6)))
    bboxes = volume.boxes_to_index(frame_boxes)
    centers = (bboxes[:, :3] + bboxes[:, 3:]) / 2
    world = volume.to_world((frame_boxes[:, :3] + frame_boxes[:, 3:]) / 2)
    segments = [{}] * len(boxes) if segments is None else segments
    lesions = []
    for index, bbox in enumerate(bboxes):
        if segments[index]:
            measured = _measure_mask(volume, segments[index])
        else:
            measured = _measure_box(volume, boxes[index], box_margin)
        lesion = Lesion(
            id=index + 1,
            label=classes[labels[index]],
            score=float(scores[index]),
            center_mm=tuple(world[index].tolist()),
            center_voxel=tuple(centers[index].tolist()),
            bbox_voxel=tuple(bbox.tolist()),
            slice_range=_slice_range(bbox, volume.slice_axis),
            segments=segments[index],
            **measured,
        )
        lesions.append(lesion)
    return lesions


def label_map(volume: CTVolume, lesions: Sequence[Lesion]) -> np.ndarray:
    """Draw lesions into an array of the original volume's size.

    Each lesion is drawn as its mask or, without one, as the ellipsoid inscribed in its box, at
    least the voxel at its center. Where lesions overlap, the one with the higher score is on top.

    Args:
        volume: The volume.
        lesions: In descending order of score.

    Returns:
        ndarray: (k, j, i) array of the original volume with the lesions' ids, 0 elsewhere, of the
        smallest unsigned type.
    """
    highest = max((lesion.id for lesion in lesions), default=0)
    labels = np.zeros(volume.array.shape, np.min_scalar_type(highest))
    # lesions are in descending order of score: the best one is drawn last, over the others
    for lesion in reversed(lesions):
        for index, segment in lesion.segments.items():
            segment.paste(labels[index], lesion.id)
        if not lesion.segments:
            (box,) = volume.boxes_from_index(lesion.bbox_voxel)
            _draw_ellipsoid(labels, box, lesion.id)
    return volume.restored(labels)


def _draw_ellipsoid(labels: np.ndarray, box: np.ndarray, number: int) -> None:
    """Draw a lesion into (z, y, x) labels, slice by slice: it may be as large as the volume."""
    # the center of voxel n is at n + 0.5 in the box, and at n here
    center = (box[:3] + box[3:]) / 2 - 0.5
    radius = np.maximum((box[3:] - box[:3]) / 2, 1e-6)
    # first and last voxel, inclusive, with the center's in any case
    last = np.array(labels.shape) - 1
    middle = np.clip(np.rint(center), 0, last).astype(int)
    low = np.minimum(np.ceil(center - radius).clip(0), middle).astype(int)
    high = np.maximum(np.floor(center + radius).clip(max=last), middle).astype(int)
    ranges = [slice(first, end + 1) for first, end in zip(low, high)]
    # squared distances along each axis, in radii
    along = [((np.r_[part] - c) / r) ** 2 for part, c, r in zip(ranges, center, radius)]
    # plane by plane: only (y, x) distances are in memory at once
    for index, distance in enumerate(along[0], start=low[0]):
        inside = distance + along[1][:, None] + along[2] <= 1
        labels[index][ranges[1], ranges[2]][inside] = number
    # a lesion smaller than a voxel may contain no voxel's center
    labels[tuple(middle)] = number


def _measure_mask(volume: CTVolume, segments: Mapping[int, Segment]) -> dict:
    """Measure a lesion's mask on the slice where it is longest; return fields of Lesion."""
    spacing = volume.spacing[:2]
    measured = {}
    for index, segment in segments.items():
        measured[index] = measure_recist(segment.mask, spacing, segment.corner)
    key = max(measured, key=lambda index: measured[index].diameters_mm[0])
    long, short = measured[key].diameters_mm
    # px n has its center at n in RECIST points, and at n + 0.5 in the volume
    points = np.column_stack([np.full(4, key), measured[key].points[:, ::-1]]) + 0.5
    ends = volume.points_to_index(points)
    return dict(
        diameter_mm=long,
        short_diameter_mm=short,
        diameter_source='mask',
        key_slice=volume.slice_number(key),
        recist_voxel=tuple(map(tuple, ends.tolist())),
    )


def _measure_box(volume: CTVolume, box: np.ndarray, margin: float) -> dict:
    """Derive the diameters from the sides of a 3D box; return fields of Lesion."""
    spacing = np.array(volume.spacing[:2])
    # the box has the margin at both of its ends
    sides = np.maximum((box[3:5] - box[:2]) * spacing - 2 * margin, spacing.min())
    # slice n extends from n to n + 1: the integer part of the center is its slice
    middle = np.clip(int((box[2] + box[5]) / 2), 0, len(volume.array) - 1)
    return dict(
        diameter_mm=float(sides.max()),
        short_diameter_mm=float(sides.min()),
        diameter_source='box',
        key_slice=volume.slice_number(middle),
    )


def _slice_range(bbox: np.ndarray, axis: int) -> tuple[int, int]:
    low, high = bbox[axis], bbox[axis + 3]
    # The center of slice n is at n: those whose centers lie in the box, or else the middle one.
    middle = round((low + high) / 2)
    return min(int(np.ceil(low)), middle), max(int(np.floor(high)), middle)
