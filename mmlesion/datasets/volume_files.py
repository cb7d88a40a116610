"""Volumes of 1 mm on disk: resampling, arrays to map into memory, and their annotation file."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from mmlesion.structures import VolumeGrid
from mmlesion.utils import UserError, atomic_write

from .conversion import convert_once

SPACING = 1.0  # mm (3D Aggregated Faster R-CNN, section Data Preparation)
HU_RANGE = (-1024, 3071)
FOLDER = 'volumes'


def isotropic_grid(grid, low, high):
    """A grid of cubes of 1 mm, parallel to another one.

    Args:
        grid (VolumeGrid): The other one.
        low (Sequence[float]): z, y, x in its voxels at which the new grid begins.
        high (Sequence[float]): z, y, x near which it ends, to half a mm.

    Returns:
        VolumeGrid: Of at least one voxel along each axis.
    """
    low, spacing = np.asarray(low, float), np.asarray(grid.spacing)[::-1]
    size = np.maximum(np.rint((high - low) * spacing / SPACING), 1).astype(int)
    (origin,) = grid.to_world(low + 0.5 * SPACING / spacing)
    return VolumeGrid(tuple(size.tolist()), (SPACING,) * 3, tuple(origin.tolist()), grid.direction)


def resample(image, grid):
    """Sample an image on a grid, linearly.

    Args:
        image (sitk.Image): In HU.
        grid (VolumeGrid): Where to sample; outside of the image is air.

    Returns:
        ndarray: (z, y, x) int16 HU, clipped to -1024 to 3071.
    """
    low, high = HU_RANGE
    resampled = sitk.Resample(
        image,
        grid.size[::-1],
        sitk.Transform(),
        sitk.sitkLinear,
        grid.origin,
        grid.spacing,
        grid.direction,
        low,
        sitk.sitkFloat32,
    )
    return np.rint(sitk.GetArrayViewFromImage(resampled)).clip(low, high).astype(np.int16)


def write_volume(root, name, hu, grid, **fields):
    """Write a volume.

    Args:
        root (str | Path): Folder of the data set.
        name (str): The volume's file is ``volumes/<name>.npy``.
        hu (ndarray): (z, y, x) int16.
        grid (VolumeGrid): Its grid.
        **fields: More of the entry.

    Returns:
        dict: The volume's entry in the annotation file, without ``id``.
    """
    with atomic_write(Path(root, FOLDER, f'{name}.npy')) as temporary:
        np.save(temporary, hu)
    return {'file_name': f'{FOLDER}/{name}.npy', **asdict(grid), 'series_uid': name, **fields}


def store_volume(root, name, sources, options, convert):
    """Write a volume, or keep what an earlier run has made of the same files and options.

    Args:
        root (str | Path): Folder of the data set. ``volumes/<name>.json`` says what was made.
        name (str): Of the volume.
        sources (Sequence[Path]): The files that it is made of.
        options (dataclass): How it is made.
        convert (Callable): Takes nothing, and writes it by :func:`write_volume`.

    Returns:
        dict: The volume's entry.

    Raises:
        UserError: If a source is missing.
    """
    for source in sources:
        if not source.is_file():
            raise UserError(f'there is no {source}')
    volume = Path(root, FOLDER, f'{name}.npy')
    record = volume.with_name(f'{name}.json')
    if not volume.is_file():
        record.unlink(missing_ok=True)
    return convert_once(record, sources, options, convert)


def write_annotations(path, volumes, annotations, category, description):
    """Write the annotation file of a 3D benchmark (see docs/datasets.md).

    Args:
        path (str | Path): The JSON file.
        volumes (list[dict]): Entries of :func:`write_volume`; ids count from 1.
        annotations (list[list[dict]]): Of each volume ``center_mm`` (x, y, z), ``diameter_mm`` and
            ``ignore``, and more if there is; ids count from 1.
        category (str): What is annotated.
        description (str): Of the data set.
    """
    content = {
        'info': {'description': description},
        'volumes': [{'id': i, **volume} for i, volume in enumerate(volumes, start=1)],
        'annotations': [],
        'categories': [{'id': 1, 'name': category}],
    }
    for volume_id, lesions in enumerate(annotations, start=1):
        for lesion in lesions:
            ids = {'id': len(content['annotations']) + 1, 'volume_id': volume_id}
            content['annotations'].append({**ids, 'category_id': 1, **lesion})
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content))
