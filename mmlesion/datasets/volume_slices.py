"""Volumes with known lesions as slices with boxes, in the schema of the 2D benchmarks."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from mmlesion.io.atomic import atomic_folder
from mmlesion.io.slices import slice_file_name, write_slice
from mmlesion.structures import encode_mask, measure_recist
from mmlesion.utils import UserError

# What SciPy connects to a region: diagonal neighbours too.
_NEIGHBOURS, _NEIGHBOURS_3D = np.ones((3, 3)), np.ones((3, 3, 3))
_ABDOMEN_WINDOW = [-175.0, 275.0]  # HU, DeepLesion's for the abdomen


@dataclass(frozen=True)
class SliceOptions:
    """What becomes of a volume.

    Attributes:
        min_area (float): mm² below which a region is ignored: neither a target nor background.
        context_mm (float): Height of the slices kept above and below each slice with a lesion.
        every_slice (bool): Whether every slice is an image, with lesions or not, and kept.
    """

    min_area: float = 10.0
    context_mm: float = 10.0
    every_slice: bool = False

    def __post_init__(self):
        for name in ('min_area', 'context_mm'):
            if not 0 <= getattr(self, name) < np.inf:
                raise UserError(f'{name} is {getattr(self, name)}: give at least 0')


def mask_regions(mask, spacing, min_area=0.0):
    """Annotate each connected region of a slice's mask.

    Args:
        mask (ndarray): (H, W) bool.
        spacing (Sequence[float]): x, y mm per px.
        min_area (float): mm² below which a region is marked ``ignore``.

    Returns:
        list[dict]: For each region ``bbox`` in px, ``area`` in px², ``iscrowd``, ``ignore``,
        ``recist`` in px, ``diameters_mm``, ``segmentation``, the RLE, and the schema's ``noisy``
        and ``source``.
    """
    numbers, _ = ndimage.label(mask, _NEIGHBOURS)
    return [
        _annotate(numbers, number, box, spacing, min_area)
        for number, box in enumerate(ndimage.find_objects(numbers), start=1)
    ]


def _annotate(numbers, number, box, spacing, min_area):
    mask = numbers == number
    rows, columns = box
    recist = measure_recist(mask[box], spacing, (columns.start, rows.start))
    area = int(mask.sum())
    return {
        'bbox': [columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start],
        'area': area,
        'iscrowd': 0,
        'ignore': int(area * np.prod(spacing) < min_area),
        'recist': recist.points.ravel().round(3).tolist(),
        'diameters_mm': np.round(recist.diameters_mm, 3).tolist(),
        'segmentation': encode_mask(mask),
        'noisy': 0,
        'source': 'annotated',
    }


def number_lesions(mask):
    """Number the lesions of a volume, which are connected in 3D.

    Args:
        mask (ndarray): (z, y, x) bool.

    Returns:
        ndarray: (z, y, x) uint16, from 1, 0 where there is none.
    """
    numbers = np.zeros(mask.shape, np.uint16)
    for box in ndimage.find_objects(mask.astype(np.uint8)):  # one, or none
        numbers[box], _ = ndimage.label(mask[box], _NEIGHBOURS_3D)
    return numbers


def sphere_regions(findings, grid, min_area=0.0):
    """Annotate the sections of spheres on all slices that they cut.

    On the slice in which its centre lies a sphere has its full section, so that none is lost
    between two slices.

    Args:
        findings (list[dict]): ``center_mm`` x, y, z in the world, ``diameter_mm``, ``ignore``.
        grid (Grid): The volume's.
        min_area (float): mm² below which a section is marked ``ignore``.

    Returns:
        dict[int, list[dict]]: By the slice's index from 0, for each section ``bbox`` in px, clipped
        to the image, ``area`` of the circle in px², ``diameters_mm``, ``lesion_id``, the number of
        the finding from 1, and the schema's other fields but for ``recist``.
    """
    regions = {}
    dx, dy, dz = grid.spacing
    for lesion_id, finding in enumerate(findings, start=1):
        ((z, y, x),) = grid.from_world([finding['center_mm']])
        radius = finding['diameter_mm'] / 2
        heights = (np.arange(grid.size[0]) + 0.5 - z) * dz
        heights[np.arange(grid.size[0]) == int(z)] = 0
        for index in np.flatnonzero(np.abs(heights) < radius).tolist():
            section = np.sqrt(radius**2 - heights[index] ** 2)
            reach = section / np.array([dx, dy])
            low, high = np.clip([(x, y) - reach, (x, y) + reach], 0, grid.size[:0:-1])
            if (high <= low).any():
                continue
            area = np.pi * section**2
            region = {
                'bbox': [*low.round(3).tolist(), *(high - low).round(3).tolist()],
                'area': float(area / (dx * dy)),
                'iscrowd': 0,
                'ignore': int(finding['ignore'] or area < min_area),
                'diameters_mm': [2 * float(section)] * 2,
                'noisy': 0,
                'source': 'annotated',
                'lesion_id': lesion_id,
            }
            regions.setdefault(index, []).append(region)
    return regions


def write_key_slices(volume, lesions, folder, options):
    """Write slices of a volume whose lesions are segmented; see :func:`write_slices`.

    Args:
        volume (CTVolume): The scan.
        lesions (ndarray): (z, y, x) as ``volume.array``: bool, or the number of each lesion. Its
            annotations have it as ``lesion_id``; of a bool mask, lesions are what is connected.
        folder (Path): Where the slices go; its name begins their ``file_name``. It is replaced.
        options (SliceOptions): Which slices, and which regions.

    Returns:
        list[dict]: Images of the schema with their regions as ``annotations``.
    """
    numbers = number_lesions(lesions) if lesions.dtype == bool else lesions
    regions = {
        index: [
            {**region, 'lesion_id': number}
            for number in np.unique(numbers[index][numbers[index] > 0]).tolist()
            for region in mask_regions(
                numbers[index] == number, volume.spacing[:2], options.min_area
            )
        ]
        for index in np.flatnonzero(lesions.any(axis=(1, 2))).tolist()
    }
    return write_slices(volume, regions, folder, options)


def write_slices(volume, regions, folder, options):
    """Write slices and describe them: those with lesions and their neighbours, or every slice.

    Slices are numbered from 1 by their place in the volume, from head to feet.

    Args:
        volume (CTVolume): The scan.
        regions (dict[int, list[dict]]): Annotations by the slice's index from 0.
        folder (Path): Where the slices go; its name begins their ``file_name``. It is replaced.
        options (SliceOptions): Which slices.

    Returns:
        list[dict]: An image of the schema, with its ``annotations``, for every slice or for each
        that has a region which is not ignored.
    """
    images = [
        _describe(volume, index, regions.get(index, []), folder.name, options)
        for index in range(len(volume.array))
        if options.every_slice or not all(region['ignore'] for region in regions.get(index, []))
    ]
    ranges = [image['slice_range'] for image in images]
    numbers = {
        number for first, last in set(map(tuple, ranges)) for number in range(first, last + 1)
    }
    with atomic_folder(folder) as root:
        for number in sorted(numbers):
            name = slice_file_name(number, len(volume.array))
            write_slice(root / name, np.rint(volume.array[number - 1]))
    return images


def _describe(volume, index, regions, name, options):
    number, count = index + 1, len(volume.array)
    *spacing, interval = volume.spacing
    reach = count if options.every_slice else int(options.context_mm / interval + 1e-6)
    return {
        'file_name': f'{name}/{slice_file_name(number, count)}',
        'height': volume.array.shape[1],
        'width': volume.array.shape[2],
        'spacing': spacing,
        'slice_interval': interval,
        'slice_index': number,
        'slice_range': [max(number - reach, 1), min(number + reach, count)],
        'windows': [_ABDOMEN_WINDOW],
        'annotations': regions,
    }
