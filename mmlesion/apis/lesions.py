from dataclasses import dataclass

import numpy as np

DEEPLESION_MARGIN = 4.0
"""mm by which DeepLesion's boxes exceed the lesion on each side: 5 px of about 0.8 mm."""


@dataclass(frozen=True)
class Lesion:
    """A lesion found in a CT volume.

    Attributes:
        id (int): From 1, by falling score; the lesion's value in the label map.
        label (str): Class name.
        score (float): The detector's confidence, 0 to 1.
        center_mm (tuple[float]): World point x, y, z in mm, LPS.
        center_voxel (tuple[float]): The same point as voxel coordinates i, j, k of the original
            volume; integers are voxel centres.
        bbox_voxel (tuple[float]): The box i1, j1, k1, i2, j2, k2 in voxel coordinates of the
            original volume; its faces lie between voxels, where voxel n extends from n - 0.5 to
            n + 0.5.
        diameter_mm (float): The longer in-plane side of the box less the margin on both sides, at
            least one pixel.
        slice_range (tuple[int]): First and last slice, 0-based and inclusive, along the original
            volume's slice axis.
    """

    id: int
    label: str
    score: float
    center_mm: tuple
    center_voxel: tuple
    bbox_voxel: tuple
    diameter_mm: float
    slice_range: tuple


def describe_lesions(volume, boxes, scores, labels, classes, box_margin=DEEPLESION_MARGIN):
    """Bring detected 3D boxes to the coordinates of the original volume.

    Args:
        volume (CTVolume): The volume.
        boxes (ndarray): (n, 6) boxes x1, y1, z1, x2, y2, z2 in voxels of ``volume.array``, by
            falling score.
        scores (ndarray): (n,) scores.
        labels (ndarray): (n,) class labels.
        classes (Sequence[str]): Class names.
        box_margin (float): mm by which boxes exceed lesions on each side in the slice plane.

    Returns:
        list[Lesion]: The lesions in the same order.
    """
    bboxes = volume.to_voxels(boxes)
    centers = (bboxes[:, :3] + bboxes[:, 3:]) / 2
    world = volume.to_world(centers)
    diameters = _diameters(boxes, volume.spacing, box_margin)
    return [
        Lesion(
            id=index + 1,
            label=classes[labels[index]],
            score=float(scores[index]),
            center_mm=tuple(world[index].tolist()),
            center_voxel=tuple(centers[index].tolist()),
            bbox_voxel=tuple(bboxes[index].tolist()),
            diameter_mm=float(diameters[index]),
            slice_range=_slice_range(bboxes[index], volume.slice_axis),
        )
        for index in range(len(bboxes))
    ]


def label_map(volume, lesions):
    """Draw lesions into an array of the original volume's size.

    Each lesion is the ellipsoid inscribed into its box, at least the voxel at its centre. Where
    lesions overlap, the higher score is seen.

    Args:
        volume (CTVolume): The volume.
        lesions (list[Lesion]): By falling score.

    Returns:
        ndarray: (k, j, i) array of the original volume with the lesions' ids, 0 elsewhere, of the
        smallest unsigned type.
    """
    highest = max((lesion.id for lesion in lesions), default=0)
    labels = np.zeros(volume.image.GetSize()[::-1], np.min_scalar_type(highest))
    for lesion in reversed(lesions):
        block, inside = _ellipsoid(lesion, np.array(labels.shape))
        labels[block][inside] = lesion.id
    return labels


def _ellipsoid(lesion, shape):
    """Slices of the (k, j, i) block around a lesion, and a mask of its ellipsoid in it."""
    box = np.array(lesion.bbox_voxel)
    center, radius = lesion.center_voxel[::-1], np.maximum((box[3:] - box[:3]) / 2, 1e-6)[::-1]
    middle = np.clip(np.rint(center), 0, shape - 1).astype(int)
    low = np.minimum(np.ceil(center - radius).clip(0), middle).astype(int)
    high = np.maximum(np.floor(center + radius).clip(max=shape - 1), middle).astype(int)
    grid = np.ogrid[tuple(slice(a, b + 1) for a, b in zip(low, high))]
    distance = sum(((g - c) / r) ** 2 for g, c, r in zip(grid, center, radius))
    inside = distance <= 1
    inside[tuple(middle - low)] = True
    return tuple(slice(a, b + 1) for a, b in zip(low, high)), inside


def _diameters(boxes, spacing, margin):
    sides = (boxes[:, 3:5] - boxes[:, :2]) * spacing[:2]
    return np.maximum(sides.max(axis=1) - 2 * margin, min(spacing[:2]))


def _slice_range(bbox, axis):
    low, high = bbox[axis], bbox[axis + 3]
    middle = round((low + high) / 2)
    return min(int(np.ceil(low)), middle), max(int(np.floor(high)), middle)
