"""Report of mining: added annotations, and their precision and recall on the phantom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple

import numpy as np

from mmlesion.io.schema import is_target
from mmlesion.io.slices import series_of
from mmlesion.io.true_masks import TrueLesions
from mmlesion.structures import SliceBoxes, file_box

from .miner import RULES
from .tracklets import slice_overlap_pairs


def count_rows(coco: Mapping, rules: Sequence[str], unlabeled: bool = False) -> list[dict]:
    """Count lesions, boxes and slices after each rule, as in Table III of LENS.

    Args:
        coco (dict): Mined COCO content.
        rules (Sequence[str]): The rules that were applied.
        unlabeled (bool): Whether slices without a lesion were listed.

    Returns:
        list[dict]: ``rules``, lesions in 3D and 2D, uncertain regions and slices, with the rules
        before added; with ``unlabeled`` a last row counts the slices without a lesion too.
    """
    rows = [_row('no mining', coco['annotations'], ())]
    for number, rule in enumerate(RULES, 1):
        if rule in rules:
            rows.append(_row(f'+ {rule}', coco['annotations'], RULES[:number]))
    if unlabeled:
        rows.append(_row('+ unlabeled', coco['annotations'], RULES, coco['images']))
    return rows


def _row(
    name: str,
    annotations: Sequence[Mapping],
    rules: Sequence[str],
    images: Sequence[Mapping] | None = None,
) -> dict:
    taken = [a for a in annotations if a['source'] not in set(RULES) - set(rules)]
    lesions = [a for a in taken if is_target(a)]
    labeled = {a['image_id'] for a in lesions}
    listed = labeled if images is None else {image['id'] for image in images}
    uncertain = [a for a in taken if a['source'] == RULES[-1] and a['image_id'] in listed]
    return {
        'rules': name,
        'lesions_3d': len({a['lesion_id'] for a in lesions}),
        'lesions_2d': len(lesions),
        'uncertain_2d': len(uncertain),
        'slices': len(listed),
    }


COUNTS = ('boxes', 'right', 'missing', 'found', 'withheld', 'withheld_found')
"""What is counted for each rule, in this order."""


def score_rows(
    coco: dict, rules: Sequence[str], read_truth: Callable[[str], TrueLesions], theta: float = 0.5
) -> list[dict]:
    """Compare the annotations mined by each rule with the truth.

    A box is correct if its IoU with a lesion's box on its slice is over ``theta``. Missing are the
    lesions' boxes, on the slices of the truth, that no existing annotation matches; withheld are
    the lesions without an annotation on any slice of their series.

    Args:
        coco (dict): Mined COCO content.
        rules (Sequence[str]): The rules that were applied.
        read_truth (Callable): Takes the name of a series, returns its :class:`TrueLesions`.
        theta (float): Defaults to 0.5.

    Returns:
        list[dict]: For each rule: 2D ``boxes``, correct ones (``right``), ``missing`` and
        ``found``, 3D ``withheld`` and ``withheld_found``, ``precision`` and ``recall`` of the 2D
        boxes; None if undefined.
    """
    totals = {rule: np.zeros(len(COUNTS), int) for rule in rules}
    for series, sources in _boxes_by_series(coco).items():
        truth = read_truth(series)
        existing = sources.pop('annotated', SliceBoxes.empty())
        _, annotated = _meet(existing, truth.boxes, theta)
        missing = ~annotated
        # lesions of which every box is missing
        withheld = np.setdiff1d(truth.label, truth.label[~missing])
        for rule in rules:
            boxes = sources.get(rule, SliceBoxes.empty())
            right, hit = _meet(boxes, truth.boxes, theta)
            found = np.intersect1d(withheld, truth.label[hit])
            counts = [right.size, right.sum(), missing.sum(), (hit & missing).sum()]
            totals[rule] += counts + [withheld.size, found.size]
    return [_score_row(rule, total.tolist()) for rule, total in totals.items()]


def _score_row(rule: str, counts: Sequence[int]) -> dict:
    row: dict[str, Any] = dict(rule=rule) | dict(zip(COUNTS, counts))
    row['precision'] = _share(row['right'], row['boxes'])
    row['recall'] = _share(row['found'], row['missing'])
    return row


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _meet(boxes: SliceBoxes, truth: SliceBoxes, theta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which boxes match a true box, and which true boxes are matched."""
    rows, columns, ious = slice_overlap_pairs(boxes, truth)
    hit = ious > theta
    right, matched = np.zeros(len(boxes), bool), np.zeros(len(truth), bool)
    right[rows[hit]] = True
    matched[columns[hit]] = True
    return right, matched


def _boxes_by_series(coco: Mapping) -> dict[str, dict[str, SliceBoxes]]:
    """Return {series: {source: SliceBoxes}} of COCO content, without previously ignored boxes."""
    image_of = {image['id']: image for image in coco['images']}
    listed: dict[str, dict[str, list[_Listed]]] = {}
    for image in coco['images']:
        listed.setdefault(series_of(image['file_name']), {})
    for annotation in coco['annotations']:
        if annotation['source'] not in RULES and not is_target(annotation):
            continue
        image = image_of[annotation['image_id']]
        sources = listed[series_of(image['file_name'])]
        source = annotation['source'] if annotation['source'] in RULES else 'annotated'
        sources.setdefault(source, []).append(_Listed(annotation, image))
    series = {}
    for name, sources in listed.items():
        series[name] = {source: _slice_boxes(found) for source, found in sources.items()}
    return series


class _Listed(NamedTuple):
    """An annotation and its image."""

    annotation: dict
    image: dict


def _slice_boxes(found: Sequence[_Listed]) -> SliceBoxes:
    boxes = np.array([file_box(one.annotation, one.image) for one in found], float)
    numbers = np.array([one.image['slice_index'] for one in found])
    scores = np.array([one.annotation.get('score', 1) for one in found], float)
    return SliceBoxes(boxes, numbers, scores)
