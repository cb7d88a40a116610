"""COCO annotation files and results of images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mmlesion.structures import Detections, GroundTruth, Lesions, Predictions, file_shift
from mmlesion.utils import UserError

from .checks import (
    check_spacing,
    find_names,
    get_column,
    lesion_attributes,
    look_up,
    some_names,
    to_numbers,
    to_whole_numbers,
)
from .json_files import check_content, read_json, read_json_list
from .schema import CocoFile, Name, is_ignored

MIN_SIDE = 1
"""px that a box must have along x and y for mmdet to train on it."""


def read_annotations(path: str | Path) -> dict:
    """Read a COCO annotation file whose annotations have ids, and check it.

    Args:
        path: The file.

    Returns:
        dict: Its content.

    Raises:
        UserError: If it cannot be read or is no such file.
    """
    data = read_json(path)
    coco_ground_truth(data, path)
    get_column(data['annotations'], 'id', f'{path}: annotation')
    return data


def coco_ground_truth(data: dict, path: str | Path) -> GroundTruth:
    """Lesions of a COCO dictionary.

    Boxes become x, y, x + w, y + h. Annotations with ``iscrowd`` or ``ignore`` set are ignored
    findings; all others count, noisy ones too. The lesions'
    ``attributes`` are the fields of the annotations, and ``diameter``, the first of
    ``diameters_mm``, where annotations have them.

    Args:
        data: The content of a COCO annotation file.
        path: Its name, for error messages.

    Returns:
        GroundTruth: Items are image ids; labels are category ids.
    """
    check_content(data, CocoFile, path)
    annotations = data['annotations']
    items = [image['id'] for image in data['images']]
    patients = [image.get('patient_id', image['id']) for image in data['images']]
    for image in data['images']:
        if 'spacing' in image:
            # msgspec 0.22 crashes on a union of a bounded number and a tuple
            spacing = image['spacing']
            steps = spacing if isinstance(spacing, list) else [spacing, spacing]
            check_spacing(steps, 2, f'{path}: image {image["id"]}')
    if len(set(items)) < len(items):
        raise UserError(f'{path}: two images have the same id; give each its own')
    where = f'{path}: annotation'
    item, unknown = find_names([ann['image_id'] for ann in annotations], items, path)
    if unknown:
        raise UserError(
            f'{path}: annotations of images that are not listed: {some_names(unknown, items)}'
        )
    boxes = to_numbers([ann['bbox'] for ann in annotations], 4, f'{where}, "bbox"')
    ignore = [is_ignored(ann) for ann in annotations]
    categories = [ann.get('category_id', 1) for ann in annotations]
    label = to_whole_numbers(categories, f'{where}, "category_id"')
    attributes = _attributes(annotations, where)
    lesions = Lesions(item, _corners(boxes), np.array(ignore, dtype=bool), label, attributes)
    return GroundTruth(items, lesions, patients)


def box_faults(data: dict, truth: GroundTruth, path: str | Path) -> dict[str, np.ndarray]:
    """Find boxes outside their images or below a pixel: mmdet trains on no such box.

    Args:
        data: The content of a COCO annotation file.
        truth: Its m lesions, by :func:`coco_ground_truth`.
        path: Its name, for error messages.

    Returns:
        dict[str, ndarray]: (m,) bool by what is wrong; no box has two faults.
    """
    boxes = np.array([ann['bbox'] for ann in data['annotations']], float).reshape(-1, 4)
    low, side = boxes[:, :2], boxes[:, 2:]
    sizes = [[image.get('width', np.inf), image.get('height', np.inf)] for image in data['images']]
    size = to_numbers(sizes, 2, f'{path}: image, "width" and "height"', finite=False)
    # to mmdet's frame, in which the first px begins at 0
    shift = np.array([file_shift(image) for image in data['images']]).reshape(-1, 1)
    case = truth.lesions.case
    low = low + shift[case]
    outside = ((low + side <= 0) | (low >= size[case])).any(axis=1)
    small = (side < MIN_SIDE).any(axis=1)
    return {
        f'less than {MIN_SIDE} px wide or high': small,
        'outside of their image': outside & ~small,
    }


def box_warnings(data: dict, truth: GroundTruth, path: str | Path) -> list[str]:
    """Return a warning of each kind of :func:`box_faults` among the lesions that count."""
    lines = []
    for reason, mask in box_faults(data, truth, path).items():
        if count := int((mask & ~truth.lesions.ignore).sum()):
            lines.append(
                f'{count} of {len(truth.lesions)} boxes of {path} are {reason}: they count, but '
                'no detector is trained on such; mend or drop them'
            )
    return lines


def _attributes(annotations: Sequence[Mapping], where: str) -> dict[str, np.ndarray]:
    attributes = lesion_attributes(annotations)
    if any('diameters_mm' in ann for ann in annotations):
        listed = [ann.get('diameters_mm') or [np.nan, np.nan] for ann in annotations]
        diameters = to_numbers(listed, 2, f'{where}, "diameters_mm"', finite=False)
        # the long diameter; NaN where a lesion has none
        attributes['diameter'] = diameters[:, 0]
    return attributes


class Result(msgspec.Struct, gc=False):
    """A detection, as COCO's results have it.

    Attributes:
        image_id: Its image.
        bbox: x, y, w, h px.
        score: Its score.
    """

    image_id: Name
    bbox: tuple[float, float, float, float]
    score: float


def read_coco_results(path: str | Path, items: list) -> Predictions:
    """Read a COCO results file: a list of ``image_id, bbox, score``, as CocoMetric writes it.

    Args:
        path: The file.
        items: Image ids of the ground truth.

    Returns:
        Predictions: Boxes x, y, x + w, y + h in px; labels are category ids, where there are any.
    """
    index = dict(zip(items, range(len(items))))
    parts: list[Predictions] = []
    where, count = f'{path}: result', 0
    for records in read_json_list(path, Result, 'result'):
        found = look_up([record.image_id for record in records], index, path)
        boxes = to_numbers([one.bbox for one in records], 4, f'{where}, "bbox"', offset=count)
        scores = to_numbers([one.score for one in records], None, f'{where}, "score"', offset=count)
        parts.append(Predictions.of_listed(found.item, _corners(boxes), scores, found.missing))
        count += len(records)
    unknown = dict.fromkeys(chain.from_iterable(part.unknown_cases for part in parts))
    num_unknown = sum(part.num_unknown for part in parts)
    detections = Detections.concat(part.detections for part in parts)
    return Predictions(detections, list(unknown), num_unknown)


def read_results_of(path: str | Path, truth: GroundTruth) -> Predictions:
    """Read COCO results, all of which must be of listed images.

    Args:
        path: The file.
        truth: What lists the images.

    Raises:
        UserError: If a detection is of another image, or the file cannot be used.
    """
    predictions = read_coco_results(path, truth.cases)
    if predictions.unknown_cases:
        raise UserError(
            f'{path} has detections of images that the ground truth does not list '
            f'({some_names(predictions.unknown_cases, truth.cases)}): give the file of the same '
            'images as --gt'
        )
    return predictions


def _corners(boxes: np.ndarray) -> np.ndarray:
    """x, y, w, h to x, y, x + w, y + h."""
    low, size = boxes[:, :2], boxes[:, 2:]
    return np.column_stack([low, low + size])


def make_categories(names: Iterable[str]) -> list[dict]:
    """Return COCO's ``categories``, ids from 1; COCO's error analysis groups by supercategory."""
    return [
        {'id': number, 'name': name, 'supercategory': 'lesion'}
        for number, name in enumerate(names, start=1)
    ]


def as_coco(images: Iterable[dict], categories: Sequence[str], info: dict) -> dict:
    """Make a COCO dictionary of described slices; ids count from 1 in their order.

    Args:
        images: Images of the schema without ``id``, each with its ``annotations``
            without ``id`` and ``image_id``.
        categories: Their names, by id from 1.
        info: COCO's ``info``.

    Returns:
        dict: COCO's.
    """
    coco: dict[str, Any] = {'info': info, 'images': [], 'annotations': []}
    coco['categories'] = make_categories(categories)
    for image_id, image in enumerate(images, start=1):
        described = dict(image)
        annotations = described.pop('annotations')
        coco['images'].append({'id': image_id, **described})
        for annotation in annotations:
            number = len(coco['annotations']) + 1
            ids = {'id': number, 'image_id': image_id}
            coco['annotations'].append({**ids, **annotation})
    return coco
