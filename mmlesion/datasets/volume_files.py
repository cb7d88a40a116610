"""Files of 1 mm volumes: memory-mapped arrays and their annotation file."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from mmlesion.io.atomic import atomic_write
from mmlesion.io.mhd import image_files
from mmlesion.utils import UserError

from .conversion import convert_once

FOLDER = 'volumes'


def write_volume(root, name, hu, grid, **fields):
    """Write a volume.

    Args:
        root (str | Path): Folder of the dataset.
        name (str): The volume's file is ``volumes/<name>.npy``.
        hu (ndarray): (z, y, x) int16.
        grid (Grid): Its grid.
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
        root (str | Path): Folder of the dataset. ``volumes/<name>.json`` says what was made.
        name (str): Of the volume.
        sources (Sequence[Path]): The files that it is made of.
        options (dataclass): How it is made.
        convert (Callable): Takes nothing, and writes it by :func:`write_volume`.

    Returns:
        dict: The volume's entry.

    Raises:
        UserError: If a source is missing, or the data of an MHD file.
    """
    for source in (file for path in sources for file in image_files(path)):
        if not source.is_file():
            raise UserError(f'there is no {source}')
    record = Path(root, FOLDER, f'{name}.json')
    return convert_once(record, sources, options, convert, partial(_is_whole, root))


def _is_whole(root, entry):
    """Return whether a volume matches its entry, and its file the length in its header."""
    try:
        volume = np.load(Path(root, entry['file_name']), mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return volume.dtype == np.int16 and list(volume.shape) == list(entry['size'])


def write_annotations(path, volumes, annotations, category, description, preparation=None):
    """Write the annotation file of a 3D benchmark; see :func:`describe_volumes`.

    Args:
        path (str | Path): The JSON file.
        volumes (list[dict]): Entries of :func:`write_volume`.
        annotations (list[list[dict]]): Of each volume.
        category (str): What is annotated.
        description (str): Of the dataset.
        preparation (dict, optional): How volumes were made. Defaults to None, of all that is there.
    """
    content = describe_volumes(volumes, annotations, (category,), description, preparation)
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content))


def describe_volumes(volumes, annotations, categories, description, preparation=None):
    """Make the content of the annotation file of a 3D benchmark (see docs/datasets.md).

    Args:
        volumes (list[dict]): Entries of :func:`write_volume`; ids count from 1.
        annotations (list[list[dict]]): Of each volume ``center_mm`` (x, y, z) and ``diameter_mm``,
            or ``bbox_3d`` (:mod:`mmlesion.io.bbox_3d`), and ``ignore``, and more if there is; ids
            count from 1. The category is the first one where they do not name another.
        categories (Sequence[str]): What is annotated, by category id from 1.
        description (str): Of the dataset.
        preparation (dict, optional): How volumes were made, which :class:`VolumeDataset` compares
            with its ``metainfo``. Defaults to None, of all that is there.

    Returns:
        dict: The content.
    """
    content = {
        'info': {'description': description, 'preparation': preparation},
        'volumes': [{'id': i, **volume} for i, volume in enumerate(volumes, start=1)],
        'annotations': [],
        'categories': [{'id': i, 'name': name} for i, name in enumerate(categories, start=1)],
    }
    for volume_id, lesions in enumerate(annotations, start=1):
        for lesion in lesions:
            ids = {'id': len(content['annotations']) + 1, 'volume_id': volume_id}
            content['annotations'].append({**ids, 'category_id': 1, **lesion})
    return content
