"""Conversion of annotated volumes to slices with boxes, in the schema of the 2D benchmarks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from mmlesion.io.atomic import atomic_folder
from mmlesion.io.schema import ABDOMEN_WINDOW, Annotation, Image, make_annotation, make_image
from mmlesion.io.slices import slice_file_name, write_slice
from mmlesion.structures import Grid, encode_mask, measure_recist
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError

# What SciPy connects to a region: diagonal neighbors too.
_NEIGHBORS, _NEIGHBORS_3D = np.ones((3, 3)), np.ones((3, 3, 3))


@dataclass(frozen=True)
class SliceOptions:
    """Options for the slices of a volume.

    Attributes:
        min_area: mm² below which a region is ignored: neither a target nor background.
        context_mm: Height of the slices kept above and below each slice with a lesion.
        every_slice: Whether every slice is an image, with lesions or not, and kept.
    """

    min_area: float = 10.0
    context_mm: float = 10.0
    every_slice: bool = False

    def __post_init__(self) -> None:
        for name in ('min_area', 'context_mm'):
            if not 0 <= getattr(self, name) < np.inf:
                raise UserError(f'{name} is {getattr(self, name)}: give at least 0')


def mask_regions(
    mask: np.ndarray, spacing: Sequence[float], min_area: float = 0.0
) -> list[Annotation]:
    """Annotate each connected region of a slice's mask.

    Args:
        mask: (H, W) bool.
        spacing: x, y mm per px.
        min_area: mm² below which a region is marked ``ignore``.

    Returns:
        list[dict]: For each region ``bbox`` in px, ``area`` in px², ``iscrowd``, ``ignore``,
        ``recist`` in px, ``diameters_mm``, ``segmentation``, the RLE, and the schema's ``noisy``
        and ``source``.
    """
    numbers, _ = ndimage.label(mask, _NEIGHBORS)
    regions = []
    for number, box in enumerate(ndimage.find_objects(numbers), start=1):
        region = numbers == number
        area = int(region.sum())
        # The diameters are measured in the box alone, and moved to where it is in the image.
        rows, columns = box
        recist = measure_recist(region[box], spacing, (columns.start, rows.start))
        annotation = make_annotation(
            [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
            area,
            ignore=int(area * np.prod(spacing) < min_area),
            recist=recist.points.ravel().round(3).tolist(),
            diameters_mm=np.round(recist.diameters_mm, 3).tolist(),
            segmentation=encode_mask(region),
        )
        regions.append(annotation)
    return regions


def number_lesions(mask: np.ndarray) -> np.ndarray:
    """Number the lesions of a volume, which are connected in 3D.

    Args:
        mask: (z, y, x) bool.

    Returns:
        ndarray: (z, y, x) uint16, from 1, 0 where there is none.
    """
    numbers = np.zeros(mask.shape, np.uint16)
    for box in ndimage.find_objects(mask.astype(np.uint8)):  # one, or none
        numbers[box], _ = ndimage.label(mask[box], _NEIGHBORS_3D)
    return numbers


def sphere_regions(
    findings: Sequence[dict], grid: Grid, min_area: float = 0.0
) -> dict[int, list[dict]]:
    """Annotate the cross-sections of spheres on all slices that they intersect.

    On the slice in which its center lies a sphere has its full section, so that none is lost
    between two slices.

    Args:
        findings: ``center_mm`` x, y, z in the world, ``diameter_mm``, ``ignore``.
        grid: The volume's.
        min_area: mm² below which a section is marked ``ignore``.

    Returns:
        dict[int, list[dict]]: By the slice's index from 0, for each section ``bbox`` in px, clipped
        to the image, ``area`` of the circle in px², ``diameters_mm``, ``lesion_id``, the number of
        the finding from 1, and the schema's other fields but for ``recist``.
    """
    regions: dict[int, list[dict]] = {}
    dx, dy, dz = grid.spacing
    for lesion_id, finding in enumerate(findings, start=1):
        ((z, y, x),) = grid.from_world([finding['center_mm']])
        radius = finding['diameter_mm'] / 2
        # mm from the sphere's center to the middle of each slice; 0 on the slice of the center
        heights = (np.arange(grid.size[0]) + 0.5 - z) * dz
        heights[np.arange(grid.size[0]) == int(z)] = 0
        for index in np.flatnonzero(np.abs(heights) < radius).tolist():
            section = np.sqrt(radius**2 - heights[index] ** 2)  # mm, the circle's radius
            reach = section / np.array([dx, dy])  # px along x and y
            # The box in px, clipped to the image, whose width and height are size[2] and size[1].
            low, high = np.clip([(x, y) - reach, (x, y) + reach], 0, grid.size[:0:-1])
            if (high <= low).any():
                continue
            area = np.pi * section**2
            region = make_annotation(
                _corner_and_size(low, high),
                float(area / (dx * dy)),
                ignore=int(finding['ignore'] or area < min_area),
                diameters_mm=[2 * float(section)] * 2,
                lesion_id=lesion_id,
            )
            regions.setdefault(index, []).append(dict(region))
    return regions


def box_regions(boxes: np.ndarray, grid: Grid, min_area: float = 0.0) -> dict[int, list[dict]]:
    """Annotate the sections of 3D boxes on all slices whose middle they contain.

    A box has a section on the slice in which its center lies too, so that none is lost between two
    slices.

    Args:
        boxes: (n, 6) z1, y1, x1, z2, y2, x2 in voxels, voxel i from i to i + 1.
        grid: The volume's.
        min_area: mm² below which a section is marked ``ignore``.

    Returns:
        dict[int, list[dict]]: By the slice's index from 0, for each section ``bbox`` in px, clipped
        to the image, its ``area`` in px², its sides as ``diameters_mm``, ``lesion_id``, the number
        of the box from 1, and the schema's other fields but for ``recist``.
    """
    regions: dict[int, list[dict]] = {}
    depth, height, width = grid.size
    spacing = np.asarray(grid.spacing[:2])
    middles = np.arange(depth) + 0.5
    for lesion_id, (z1, y1, x1, z2, y2, x2) in enumerate(boxes.tolist(), start=1):
        indices = np.flatnonzero((middles >= z1) & (middles < z2)).tolist()
        # The same section on all slices: its corners in px, clipped to the image, and sides in mm.
        low, high = np.clip([(x1, y1), (x2, y2)], 0, (width, height))
        sides = (high - low) * spacing
        region = make_annotation(
            _corner_and_size(low, high),
            float(np.prod(high - low)),
            ignore=int(np.prod(sides) < min_area),
            diameters_mm=sorted(sides.round(3).tolist(), reverse=True),
            lesion_id=lesion_id,
        )
        for index in indices or [int((z1 + z2) / 2)]:
            regions.setdefault(index, []).append(dict(region))
    return regions


def _corner_and_size(low: np.ndarray, high: np.ndarray) -> list[float]:
    """Return x, y, width and height of the box between two corners (2,), as COCO has it."""
    return np.concatenate([low, high - low]).round(3).tolist()


def lesion_regions(
    lesions: np.ndarray, spacing: Sequence[float], min_area: float = 0.0
) -> dict[int, list[dict]]:
    """Annotate the regions of segmented lesions on each slice.

    Args:
        lesions: (z, y, x), bool or the number of each lesion; the connected parts of a
            bool mask are its lesions.
        spacing: x, y mm per px.
        min_area: mm² below which a region is marked ``ignore``.

    Returns:
        dict[int, list[dict]]: By the slice's index from 0, what :func:`mask_regions` returns, with
        the lesion's number as ``lesion_id``.
    """
    numbers = number_lesions(lesions) if lesions.dtype == bool else lesions
    regions: dict[int, list[dict]] = {}
    for index in np.flatnonzero(numbers.any(axis=(1, 2))).tolist():
        section = numbers[index]
        # One lesion may have several regions on a slice, and two lesions may touch there: each
        # number is taken by itself.
        for number in np.unique(section[section > 0]).tolist():
            for region in mask_regions(section == number, spacing, min_area):
                regions.setdefault(index, []).append({**region, 'lesion_id': number})
    return regions


def write_slices(
    volume: CTVolume,
    regions: dict[int, list[dict]],
    folder: Path,
    options: SliceOptions,
    window: Sequence[float] = ABDOMEN_WINDOW,
) -> list[dict]:
    """Write slices and describe them: those with lesions and their neighbors, or every slice.

    Slices are numbered from 1 by their place in the volume, from head to feet.

    Args:
        volume: The scan.
        regions: Annotations by the slice's index from 0.
        folder: Where the slices go; its name begins their ``file_name``. It is replaced.
        options: Which slices.
        window: HU from and to, for pictures. Defaults to that of the abdomen.

    Returns:
        list[dict]: An image of the schema, with its ``annotations``, for every slice or for each
        that has a region which is not ignored.
    """
    count = len(volume.array)
    images: list[dict[str, Any]] = []
    for index in range(count):
        # a slice whose regions are all ignored is neither a positive nor a clean negative
        annotations = regions.get(index, [])
        if options.every_slice or not all(region['ignore'] for region in annotations):
            image = _describe(volume, index, folder.name, options, window)
            images.append({**image, 'annotations': annotations})
    # An image needs the slices around it too. Numbers from 1, so that number n is at n - 1.
    needed = np.zeros(count, bool)
    for listed in images:
        first, last = listed['slice_range']
        needed[first - 1 : last] = True
    with atomic_folder(folder) as root:
        for index in np.flatnonzero(needed).tolist():
            name = slice_file_name(index + 1, count)
            write_slice(root / name, np.rint(volume.array[index]))
    return images


def _describe(
    volume: CTVolume, index: int, name: str, options: SliceOptions, window: Sequence[float]
) -> Image:
    number, count = index + 1, len(volume.array)
    interval = volume.spacing[2]
    # Whole slices within the context; the small number outweighs what rounding takes off.
    reach = count if options.every_slice else int(options.context_mm / interval + 1e-6)
    return make_image(
        f'{name}/{slice_file_name(number, count)}',
        volume.array.shape[1:],
        volume.spacing,
        number,
        (max(number - reach, 1), min(number + reach, count)),
        [window],
    )
