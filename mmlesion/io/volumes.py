"""3D boxes in annotation files of volumes, and the spheres that detectors of volumes find.

``bbox_3d`` is x, y, z, w, h, d in mm: the center in the world (LPS), and the size along the
volume's own x, y and z axes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from mmlesion.structures import Grid, GroundTruth, Lesions
from mmlesion.utils import UserError

from .atomic import atomic_write
from .checks import (
    find_names,
    get_column,
    lesion_attributes,
    some_names,
    to_numbers,
    to_whole_numbers,
)
from .itk import image_files
from .json_files import check_content, write_json
from .resume import convert_once
from .schema import Flags, Name, is_ignored


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


FOLDER = 'volumes'


def write_volume(root: str | Path, name: str, hu: np.ndarray, grid: Grid, **fields: Any) -> dict:
    """Write a volume.

    Args:
        root: Folder of the dataset.
        name: The volume's file is ``volumes/<name>.npy``.
        hu: (z, y, x) int16.
        grid: Its grid.
        **fields: More of the entry.

    Returns:
        dict: The volume's entry in the annotation file, without ``id``.
    """
    with atomic_write(Path(root, FOLDER, f'{name}.npy')) as temporary:
        np.save(temporary, hu)
    return {'file_name': f'{FOLDER}/{name}.npy', **asdict(grid), 'series_uid': name, **fields}


def store_volume(
    root: str | Path, name: str, sources: Sequence[Path], options: Any, convert: Callable[[], dict]
) -> dict:
    """Write a volume, or keep what an earlier run has made of the same files and options.

    Args:
        root: Folder of the dataset. ``volumes/<name>.json`` says what was made.
        name: Of the volume.
        sources: The files that it is made of.
        options: How it is made.
        convert: Takes nothing, and writes it by :func:`write_volume`.

    Returns:
        dict: The volume's entry.

    Raises:
        UserError: If a source is missing, or the data of an MHD file.
    """
    for source in chain.from_iterable(map(image_files, sources)):
        if not source.is_file():
            raise UserError(f'there is no {source}')
    record = Path(root, FOLDER, f'{name}.json')
    return convert_once(record, sources, options, convert, partial(_is_whole, root))


def _is_whole(root: str | Path, entry: Any) -> bool:
    """Return whether a record's entry is a volume's, and its file has the length of its header."""
    try:
        size = list(entry['size'])
        # mapped, which fails if the file is shorter than its header says; nothing is read
        volume = np.load(Path(root, entry['file_name']), mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        return False
    return volume.dtype == np.int16 and list(volume.shape) == size


def write_annotations(
    path: str | Path,
    volumes: Sequence[dict],
    annotations: Sequence[Sequence[dict]],
    category: str,
    description: str,
    preparation: dict | None = None,
) -> None:
    """Write the annotation file of a 3D benchmark; see :func:`describe_volumes`.

    Args:
        path: The JSON file.
        volumes: Entries of :func:`write_volume`.
        annotations: Of each volume.
        category: What is annotated.
        description: Of the dataset.
        preparation: How volumes were made. Defaults to None, of all that is there.
    """
    content = describe_volumes(volumes, annotations, (category,), description, preparation)
    write_json(content, path)


def describe_volumes(
    volumes: Sequence[dict],
    annotations: Sequence[Sequence[dict]],
    categories: Sequence[str],
    description: str,
    preparation: dict | None = None,
) -> dict:
    """Make the content of the annotation file of a 3D benchmark (see docs/datasets.md).

    Args:
        volumes: Entries of :func:`write_volume`; ids count from 1.
        annotations: Of each volume ``center_mm`` (x, y, z) and ``diameter_mm``,
            or ``bbox_3d`` (:mod:`mmlesion.io.volumes`), and ``ignore``, and more if there is; ids
            count from 1. The category is the first one where they do not name another.
        categories: What is annotated, by category id from 1.
        description: Of the dataset.
        preparation: How volumes were made, which :class:`VolumeDataset` compares
            with its ``metainfo``. Defaults to None, of all that is there.

    Returns:
        dict: The content.
    """
    described: list[dict] = []
    for volume_id, lesions in enumerate(annotations, start=1):
        for lesion in lesions:
            ids = {'id': len(described) + 1, 'volume_id': volume_id}
            described.append({**ids, 'category_id': 1, **lesion})
    numbered = [{'id': i, **volume} for i, volume in enumerate(volumes, start=1)]
    named = [{'id': i, 'name': name} for i, name in enumerate(categories, start=1)]
    return {
        'info': {'description': description, 'preparation': preparation},
        'volumes': numbered,
        'annotations': described,
        'categories': named,
    }


class _Volume(msgspec.Struct, gc=False):
    id: Name
    series_uid: str
    patient_id: Name = ''


class _VolumeAnnotation(Flags, gc=False, kw_only=True):
    volume_id: Name


class _VolumeFile(msgspec.Struct):
    volumes: list[_Volume]
    annotations: list[_VolumeAnnotation]


def volume_ground_truth(
    data: dict, path: str | Path, fold: int | Sequence[int] | None = None
) -> GroundTruth:
    """Return the lesions of an annotation file of volumes (docs/datasets.md).

    Annotations with ``ignore`` set, such as LUNA16's excluded findings, are ignored. The
    lesions' ``attributes`` are the fields of the annotations, and ``diameter`` in mm.

    Args:
        data: The content of the file.
        path: Its name, for error messages.
        fold: Only the volumes of this fold, or of these. Defaults
            to None, all.

    Returns:
        GroundTruth: Items are ``series_uid``; x, y, z and diameter in mm; labels are category ids.
    """
    check_content(data, _VolumeFile, path)
    ids = [volume['id'] for volume in data['volumes']]
    uids = {volume['id']: volume['series_uid'] for volume in data['volumes']}
    if len(uids) < len(ids):
        raise UserError(f'{path}: two volumes have the same id; give each its own')
    if len(set(uids.values())) < len(ids):
        raise UserError(f'{path}: two volumes have the same series_uid; convert the data set again')
    # fold may be one number or several; None keeps volumes without a fold, too
    chosen = [v for v in data['volumes'] if fold is None or np.isin(v.get('fold'), fold)]
    if not chosen:
        raise UserError(f'{path} has no volume of fold {fold}: choose another or convert all')
    items = [volume['series_uid'] for volume in chosen]
    annotations = [with_sphere(annotation) for annotation in data['annotations']]
    volume_ids = [annotation['volume_id'] for annotation in annotations]
    if unknown := [i for i in dict.fromkeys(volume_ids) if i not in uids]:
        raise UserError(
            f'{path}: annotations of volumes that are not listed: {some_names(unknown)}'
        )
    # -1 for the annotations of the other folds
    item, _ = find_names([uids[i] for i in volume_ids], items, path)
    lesions = _lesions(annotations, item, f'{path}: annotation')
    patients = [volume.get('patient_id', volume['series_uid']) for volume in chosen]
    return GroundTruth(items, lesions.take(item >= 0), patients)


def _lesions(annotations: Sequence[dict], item: np.ndarray, where: str) -> Lesions:
    """Return annotations, each with its item (m,), as columns."""
    centers = to_numbers(get_column(annotations, 'center_mm', where), 3, f'{where}, "center_mm"')
    diameters = get_column(annotations, 'diameter_mm', where)
    diameter = to_numbers(diameters, None, f'{where}, "diameter_mm"')
    if (diameter <= 0).any():
        number = int((diameter <= 0).argmax())
        raise UserError(
            f'{where} {number} (the first is 0) has "diameter_mm": {diameter[number]:g}: a sphere '
            'has more than 0 mm; mend or drop it'
        )
    categories = [ann.get('category_id', 1) for ann in annotations]
    label = to_whole_numbers(categories, f'{where}, "category_id"')
    ignore = np.array([is_ignored(ann) for ann in annotations], dtype=bool)
    attributes = {**lesion_attributes(annotations), 'diameter': diameter}
    return Lesions(item, np.column_stack([centers, diameter]), ignore, label, attributes)
