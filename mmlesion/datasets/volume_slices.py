"""Volumes with segmented lesions as key slices with boxes, in the schema of the 2D benchmarks."""

from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from mmlesion.structures import encode_mask, measure_recist
from mmlesion.utils import UserError, atomic_folder

from .slice_files import slice_file_name, write_slice

# What SciPy connects to a region: diagonal neighbours too.
_NEIGHBOURS = np.ones((3, 3))
_ABDOMEN_WINDOW = [-175.0, 275.0]  # HU, DeepLesion's for the abdomen


@dataclass(frozen=True)
class SliceOptions:
    """What becomes of a volume.

    Attributes:
        min_area (float): mm² below which a region is ignored: neither a target nor background.
        context_mm (float): Height of the slices kept above and below each slice with a lesion.
    """

    min_area: float = 10.0
    context_mm: float = 10.0

    def __post_init__(self):
        for name, value in asdict(self).items():
            if not 0 <= value < np.inf:
                raise UserError(f'{name} is {value}: give at least 0')


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


def write_key_slices(volume, mask, folder, options):
    """Write the slices with lesions and those around them, and describe the former.

    Slices are numbered from 1 by their place in the volume, from head to feet.

    Args:
        volume (CTVolume): The scan.
        mask (ndarray): (z, y, x) bool lesions, as ``volume.array``.
        folder (Path): Where the slices go; its name begins their ``file_name``. It is replaced.
        options (SliceOptions): Which slices, and which regions.

    Returns:
        list[dict]: An image of the schema for each slice with a region that is not ignored, with
        its regions as ``annotations``.
    """
    images = []
    for index in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        regions = mask_regions(mask[index], volume.spacing[:2], options.min_area)
        if not all(region['ignore'] for region in regions):
            images.append(_describe(volume, index, regions, folder.name, options))
    ranges = [image['slice_range'] for image in images]
    numbers = {number for first, last in ranges for number in range(first, last + 1)}
    with atomic_folder(folder) as root:
        for number in sorted(numbers):
            name = slice_file_name(number, len(volume.array))
            write_slice(root / name, np.rint(volume.array[number - 1]))
    return images


def _describe(volume, index, regions, name, options):
    number, count = index + 1, len(volume.array)
    *spacing, interval = volume.spacing
    reach = int(options.context_mm / interval + 1e-6)
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
