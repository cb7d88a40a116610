"""Files of DeepLesion's sub-volumes: runs of consecutive slices, as LENS' manual test set has them.

Boxes are x1, y1, z1, x2, y2, z2 in px and slice numbers, inclusive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mmlesion.structures import GroundTruth, Lesions, Predictions, SliceSeries, SubVolume
from mmlesion.utils import UserError

from .checks import get_column, lesion_attributes, some_names, to_numbers
from .json_files import read_json, to_records
from .pickled_arrays import load_arrays
from .schema import Flags, is_ignored


def sub_volume_coco(
    coco: dict, volumes: dict[str, SliceSeries], boxes: dict[SubVolume, list]
) -> dict:
    """Return a COCO dictionary of every slice of sub-volumes, and their 3D boxes.

    Args:
        coco: The dataset's annotation file.
        volumes: Its series by name, with all their slices
            (:func:`mmlesion.io.slices.list_series`).
        boxes: Of each sub-volume x1, y1, z1, x2, y2, z2, inclusive.

    Returns:
        dict: With ``sub_volume`` in each image, whose ``slice_range`` is that of the sub-volume,
        the annotations of the dataset that lie on them, and ``sub_volumes``, the boxes by name.
    """
    images: list[dict] = []
    annotations: list[dict] = []
    for sub in boxes:
        volume = volumes[sub.series]
        ids = {}
        for index in np.flatnonzero(sub.contains(volume.slices)).tolist():
            image = dict(volume.image(index), slice_range=[sub.first, sub.last])
            # only slices listed in the file have an id, by which annotations follow them
            ids[image.pop('id', None)] = len(images) + 1
            images.append({'id': len(images) + 1, **image, 'sub_volume': sub.name})
        for annotation in volume.annotations:
            if annotation['image_id'] in ids:
                renumbered = {'id': len(annotations) + 1, 'image_id': ids[annotation['image_id']]}
                annotations.append({**annotation, **renumbered})
    return {
        'info': {'description': 'every slice of sub-volumes'},
        'images': images,
        'annotations': annotations,
        'categories': coco['categories'],
        'sub_volumes': {sub.name: found for sub, found in boxes.items()},
    }


def check_slices(sub_volume: SubVolume, volumes: Mapping[str, SliceSeries]) -> str | None:
    """Return an error message if slices of a sub-volume are missing, or None."""
    volume = volumes.get(sub_volume.series)
    if volume is None:
        return f'{sub_volume.name}: no image of series {sub_volume.series} is annotated'
    missing = np.setdiff1d(sub_volume.numbers, volume.slices)
    if len(missing):
        return f'{sub_volume.name}: there is no slice {", ".join(map(str, missing[:5]))}'
    return None


def read_lens_ground_truth(path: str | Path, split: str | None = None) -> GroundTruth:
    """Read the manual annotation of DeepLesion's sub-volumes, JSON or pickle.

    Args:
        path: ``{sub-volume: [[x1, y1, z1, x2, y2, z2], ...]}`` or such a dictionary
            for each split. In place of a box may stand a dictionary with the box as ``box`` and
            further fields.
        split: Which split to take; needed if the file has several.

    Returns:
        GroundTruth: Items are sub-volumes; inclusive boxes in px and slices.
    """
    data = load_arrays(path) if Path(path).suffix in ('.pkl', '.pickle') else read_json(path)
    boxes_of = _pick_split(data, split, path)
    items = list(boxes_of)
    lesions = _sub_volume_lesions(boxes_of, path)
    return GroundTruth(items, lesions, _sub_volume_patients(items))


def _sub_volume_lesions(data: Any, path: str | Path) -> Lesions:
    """Return the lesions of sub-volumes: boxes, or dictionaries with ``box`` and further fields."""
    annotations, boxes = [], {}
    for name, entries in _box_lists(data, path).items():
        described = _as_annotations(entries)
        annotations += described
        boxes[name] = get_column(described, 'box', f'{path}: {name}, box')
    item, rows = _boxes_by_item(boxes, _index_of(data), 6, path)
    to_records(annotations, Flags, 'box', path)
    ignore = np.array([is_ignored(annotation) for annotation in annotations], dtype=bool)
    attributes = lesion_attributes(annotations)
    return Lesions(item, rows, ignore, attributes=attributes)


def _index_of(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(names)}


def _as_annotations(entries: Iterable) -> list[dict]:
    return [entry if isinstance(entry, dict) else {'box': entry} for entry in entries]


def _sub_volume_patients(items: Iterable) -> list[str]:
    """DeepLesion's patients: sub-volumes are named patient_study_series_first-last."""
    return [str(name).split('_')[0] for name in items]


def sub_volume_ground_truth(data: dict, path: str | Path) -> GroundTruth:
    """Lesions of a COCO dictionary of every slice of sub-volumes (docs/datasets.md).

    Args:
        data: The content of the file: ``sub_volumes`` has the lesions of each, as the manual
            annotation has them, and ``sub_volume`` of an image says where it belongs.
        path: Its name, for error messages.

    Returns:
        GroundTruth: Items are sub-volumes; inclusive boxes in px and slices; labels are the id of
        the first category.
    """
    if not isinstance(data['sub_volumes'], dict) or not data.get('categories'):
        raise UserError(f'{path} needs "sub_volumes" with boxes, and "categories": convert again')
    items = list(data['sub_volumes'])
    names = get_column(data.get('images', []), 'sub_volume', f'{path}: image')
    get_column(data.get('images', []), 'slice_index', f'{path}: image')
    listed = set(items)
    if unknown := [name for name in dict.fromkeys(names) if name not in listed]:
        raise UserError(f'{path}: images of sub-volumes that are not listed: {some_names(unknown)}')
    lesions = _sub_volume_lesions(data['sub_volumes'], path)
    label = np.full(len(lesions), data['categories'][0]['id'])
    return GroundTruth(items, replace(lesions, label=label), _sub_volume_patients(items))


def _pick_split(data: Any, split: str | None, path: str | Path) -> dict:
    if not isinstance(data, dict) or not data:
        raise UserError(f'{path} must be a dictionary of sub-volumes and their boxes')
    splits = [name for name, value in data.items() if isinstance(value, dict)]
    if not splits:
        if split is not None:
            raise UserError(f'{path} has no splits; leave --split away')
        return data
    # a file of one split needs no choice
    if split is None and len(splits) == 1:
        split = splits[0]
    if split not in splits:
        raise UserError(f'{path} has the splits {", ".join(map(str, splits))}: choose with --split')
    return data[split]


def read_lens_predictions(path: str | Path, items: list) -> Predictions:
    """Read ``{sub-volume: [[x1, y1, z1, x2, y2, z2, score], ...]}``.

    Args:
        path: The JSON file.
        items: Sub-volumes of the ground truth.

    Returns:
        Predictions: Inclusive boxes in px and slices.
    """
    data = read_json(path)
    index = _index_of(items)
    item, rows = _boxes_by_item(data, index, 7, path)
    unknown = [name for name in data if name not in index]
    return Predictions.of_listed(item, rows[:, :6], rows[:, 6], unknown)


def boxes_of_sub_volumes(data: dict, width: int, path: str | Path) -> dict[str, np.ndarray]:
    """Boxes, with what else their rows have, as arrays.

    Args:
        data: ``{sub-volume: [[x1, y1, z1, x2, y2, z2, ...], ...]}``.
        width: Numbers in a row.
        path: Where they are from, for error messages.

    Returns:
        dict[str, ndarray]: (n, width) of each sub-volume.
    """
    return {
        name: to_numbers(rows, width, f'{path}: {name}, box')
        for name, rows in _box_lists(data, path).items()
    }


def _box_lists(data: Any, path: str | Path) -> dict[str, Sequence]:
    """Return the dictionary, checked to have a list of each sub-volume."""
    if not isinstance(data, dict):
        raise UserError(f'{path} must be a dictionary of sub-volumes and their boxes')
    for name, rows in data.items():
        if not isinstance(rows, (list, np.ndarray)):
            raise UserError(f'{path}: {name} must have a list of boxes, not {rows!r:.80}')
    return data


def _boxes_by_item(
    data: Any, index: dict[str, int], width: int, path: str | Path
) -> tuple[np.ndarray, np.ndarray]:
    """Return the item (n,) of the rows of all sub-volumes, -1 where not listed, and the rows."""
    boxes = boxes_of_sub_volumes(data, width, path)
    numbers = [index.get(name, -1) for name in boxes]
    lengths = list(map(len, boxes.values()))
    # the number of a sub-volume once for each of its rows
    item = np.repeat(np.array(numbers, dtype=int), lengths)
    # the empty part gives the width where there is no sub-volume at all
    rows = np.concatenate([np.empty((0, width)), *boxes.values()])
    return item, rows


def read_proposals(path: str | Path, labeled: bool = False) -> dict[str, np.ndarray]:
    """Read 3D proposals of sub-volumes.

    Args:
        path: JSON, ``{sub-volume: [[x1, y1, z1, x2, y2, z2, score], ...]}``.
        labeled: Whether rows have a label, 0 or 1, as an eighth number. Defaults to False.

    Returns:
        dict[str, ndarray]: Of each sub-volume (n, 7), or (n, 8) with labels.

    Raises:
        UserError: If the file is not of that kind.
    """
    proposals = boxes_of_sub_volumes(read_json(path), 7 + labeled, path)
    if bad := [name for name, rows in proposals.items() if not np.isin(rows[:, 7:], (0, 1)).all()]:
        raise UserError(
            f'{path}: labels of {bad[0]}, the eighth numbers, must be 0 or 1: make it anew by '
            'tools/label_proposals.py'
        )
    return proposals
