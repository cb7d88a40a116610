"""Report of mining: added annotations, their precision and recall where all lesions are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, Callable, NamedTuple

import numpy as np

from mmlesion.io.schema import is_target
from mmlesion.io.slices import series_of, slice_number
from mmlesion.io.true_masks import TrueLesions
from mmlesion.structures import SliceBoxes, file_box

from .miner import RULES
from .rules import slice_overlap_pairs
from .withholding import LesionKey, keep_annotations, lesion_keys


def count_rows(coco: Mapping, rules: Sequence[str], unlabeled: bool = False) -> list[dict]:
    """Count lesions, boxes and slices after each rule, as in Table III of LENS.

    Args:
        coco: Mined COCO content.
        rules: The rules that were applied.
        unlabeled: Whether slices without a lesion were listed.

    Returns:
        list[dict]: ``rules``, lesions in 3D and 2D, uncertain regions and slices, with the rules
        before added; with ``unlabeled`` a last row counts the slices without a lesion too.
    """
    keys = lesion_keys(coco)
    rows = [_row('no mining', coco['annotations'], keys, ())]
    for number, rule in enumerate(RULES, 1):
        if rule in rules:
            rows.append(_row(f'+ {rule}', coco['annotations'], keys, RULES[:number]))
    if unlabeled:
        rows.append(_row('+ unlabeled', coco['annotations'], keys, RULES, coco['images']))
    return rows


def _row(
    name: str,
    annotations: Sequence[Mapping],
    keys: Mapping[int, LesionKey],
    rules: Sequence[str],
    images: Sequence[Mapping] | None = None,
) -> dict:
    left_out = set(RULES) - set(rules)
    lesions, uncertain = [], []
    for annotation in annotations:
        if annotation['source'] in left_out:
            continue
        if is_target(annotation):
            lesions.append(annotation)
        if annotation['source'] == RULES[-1]:
            uncertain.append(annotation)
    # Slices with a lesion are trained with or, if images are given, all of these.
    labeled = set(map(itemgetter('image_id'), lesions))
    listed = labeled if images is None else set(map(itemgetter('id'), images))
    return {
        'rules': name,
        'lesions_3d': len({keys[annotation['id']] for annotation in lesions}),
        'lesions_2d': len(lesions),
        'uncertain_2d': sum(annotation['image_id'] in listed for annotation in uncertain),
        'slices': len(listed),
    }


COUNTS = ('boxes', 'right', 'missing', 'found', 'withheld', 'withheld_found')
"""Names of the counts of each rule, in their order."""


def score_rows(
    coco: dict, rules: Sequence[str], read_truth: Callable[[str], TrueLesions], iou_thr: float = 0.5
) -> list[dict]:
    """Compare the annotations mined by each rule with the truth.

    A box is correct if its IoU with a lesion's box on its slice is over ``iou_thr``. Missing are
    the lesions' boxes, on the slices of the truth, that no existing annotation matches; withheld
    are the lesions without an annotation on any slice of their series.

    Args:
        coco: Mined COCO content.
        rules: The rules that were applied.
        read_truth: Takes the name of a series, returns its :class:`TrueLesions`.
        iou_thr: Defaults to 0.5.

    Returns:
        list[dict]: For each rule: 2D ``boxes``, correct ones (``right``), ``missing`` and
        ``found``, 3D ``withheld`` and ``withheld_found``, ``precision`` and ``recall`` of the 2D
        boxes; None if undefined.
    """
    # Each rule's counts, in the order of COUNTS, are summed over series.
    totals = {rule: np.zeros(len(COUNTS), int) for rule in rules}
    for series, sources in _boxes_by_series(coco).items():
        truth = read_truth(series)
        existing = sources.pop('annotated', SliceBoxes.empty())
        missing = ~_match(existing, truth.boxes, iou_thr)[1]
        # lesions of which every box is missing
        withheld = np.setdiff1d(truth.label, truth.label[~missing])
        for rule in rules:
            correct, matched = _match(sources.get(rule, SliceBoxes.empty()), truth.boxes, iou_thr)
            found = np.intersect1d(withheld, truth.label[matched])
            totals[rule] += (
                correct.size,
                correct.sum(),
                missing.sum(),
                (matched & missing).sum(),
                withheld.size,
                found.size,
            )
    return list(map(_score_row, totals, map(np.ndarray.tolist, totals.values())))


def annotated_lesions(coco: Mapping) -> dict[str, TrueLesions]:
    """Return the lesions of COCO content in which all are annotated, for :func:`score_rows`.

    Args:
        coco: COCO content; ignored annotations are no lesions. Annotations on several
            slices of a series share their ``lesion_id``.

    Returns:
        dict: The lesions of each series, of those without one too.
    """
    lesions: dict[str, TrueLesions] = {}
    keys = lesion_keys(coco)
    for series, found in _list_by_series(coco, is_target).items():
        ids = [keys[listed.annotation['id']].lesion for listed in found]
        label = np.unique(np.array(ids, str), return_inverse=True)[1]
        lesions[series] = TrueLesions(_slice_boxes(found), label)
    return lesions


def keep_matched(truth: dict, coco: Mapping, iou_thr: float = 0.5) -> dict:
    """Keep the true boxes that match a mined or annotated one, for experiments on their errors.

    A detector that is trained on them has what mining found, without its wrong and inexact boxes.

    Args:
        truth: COCO content in which all lesions are annotated.
        coco: COCO content, such as mined one; ignored annotations match none.
        iou_thr: IoU above which boxes match. Defaults to 0.5.

    Returns:
        dict: COCO content of ``truth`` with fewer images and annotations.
    """
    others = _list_by_series(coco, is_target)
    kept: list[dict] = []
    for series, found in _list_by_series(truth, is_target).items():
        _, matched = _match(_slice_boxes(others.get(series, [])), _slice_boxes(found), iou_thr)
        kept.extend(found[i].annotation for i in np.flatnonzero(matched))
    return keep_annotations(truth, kept)


def _score_row(rule: str, counts: Sequence[int]) -> dict:
    row: dict[str, Any] = dict(rule=rule) | dict(zip(COUNTS, counts))
    row['precision'] = _share(row['right'], row['boxes'])
    row['recall'] = _share(row['found'], row['missing'])
    return row


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _match(boxes: SliceBoxes, truth: SliceBoxes, iou_thr: float) -> tuple[np.ndarray, np.ndarray]:
    """Return which boxes match a true box, (n,) bool, and which true boxes are matched, (m,)."""
    # Every pair of a box and a true box on one slice: one box may match several, and vice versa.
    rows, columns, ious = slice_overlap_pairs(boxes, truth)
    over = ious > iou_thr
    correct, matched = np.zeros(len(boxes), bool), np.zeros(len(truth), bool)
    correct[rows[over]] = True
    matched[columns[over]] = True
    return correct, matched


class _Listed(NamedTuple):
    """An annotation and its image."""

    annotation: dict
    image: dict


def _boxes_by_series(coco: Mapping) -> dict[str, dict[str, SliceBoxes]]:
    """Return {series: {source: SliceBoxes}} of COCO content, without previously ignored boxes."""
    boxes: dict[str, dict[str, SliceBoxes]] = {}
    for series, found in _list_by_series(coco, _is_used).items():
        sources: dict[str, list[_Listed]] = {}
        for listed in found:
            source = listed.annotation['source']
            name = source if source in RULES else 'annotated'
            sources.setdefault(name, []).append(listed)
        boxes[series] = {name: _slice_boxes(same) for name, same in sources.items()}
    return boxes


def _is_used(annotation: Mapping) -> bool:
    return annotation['source'] in RULES or is_target(annotation)


def _list_by_series(coco: Mapping, chosen: Callable[[Mapping], bool]) -> dict[str, list[_Listed]]:
    """Return the chosen annotations of each series, of those without one too."""
    image_of: dict[int, dict] = {}
    series: dict[str, list[_Listed]] = {}
    for image in coco['images']:
        image_of[image['id']] = image
        series.setdefault(series_of(image['file_name']), [])
    for annotation in coco['annotations']:
        if chosen(annotation):
            image = image_of[annotation['image_id']]
            series[series_of(image['file_name'])].append(_Listed(annotation, image))
    return series


def _slice_boxes(found: Sequence[_Listed]) -> SliceBoxes:
    boxes, numbers, scores = [], [], []
    for annotation, image in found:
        boxes.append(file_box(annotation, image))
        numbers.append(slice_number(image['file_name']))
        scores.append(annotation.get('score', 1))
    rows = np.array(boxes, float).reshape(-1, 4)
    return SliceBoxes(rows, np.array(numbers, int), np.array(scores, float))
