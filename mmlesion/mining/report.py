"""Report of mining: added annotations, and their precision and recall on the phantom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable, NamedTuple

import numpy as np

from mmlesion.io.schema import is_target
from mmlesion.io.slices import series_of
from mmlesion.structures import SliceBoxes, file_box

from .miner import RULES
from .tracklets import slice_overlap_pairs


def count_rows(coco, rules, unlabelled=False):
    """Count lesions, boxes and slices after each rule, as in Table III of LENS.

    Args:
        coco (dict): Mined COCO content.
        rules (Sequence[str]): The rules that were applied.
        unlabelled (bool): Whether slices without a lesion were listed.

    Returns:
        list[dict]: ``rules``, lesions in 3D and 2D, uncertain regions and slices, with the rules
        before added; with ``unlabelled`` a last row counts the slices without a lesion too.
    """
    rows = [_row('no mining', coco['annotations'], ())]
    for number, rule in enumerate(RULES, 1):
        if rule in rules:
            rows.append(_row(f'+ {rule}', coco['annotations'], RULES[:number]))
    if unlabelled:
        rows.append(_row('+ unlabelled', coco['annotations'], RULES, coco['images']))
    return rows


def _row(name, annotations, rules, images=None):
    taken = [a for a in annotations if a['source'] not in set(RULES) - set(rules)]
    lesions = [a for a in taken if is_target(a)]
    labelled = {a['image_id'] for a in lesions}
    listed = labelled if images is None else {image['id'] for image in images}
    uncertain = [a for a in taken if a['source'] == RULES[-1] and a['image_id'] in listed]
    return {
        'rules': name,
        'lesions_3d': len({a['lesion_id'] for a in lesions}),
        'lesions_2d': len(lesions),
        'uncertain_2d': len(uncertain),
        'slices': len(listed),
    }


class TrueLesions(NamedTuple):
    """All lesions of a series on all its slices.

    Args:
        boxes (SliceBoxes): n boxes, padded as DeepLesion pads its own.
        label (ndarray): (n,) int, which lesion each is of.
    """

    boxes: SliceBoxes
    label: np.ndarray


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
    totals = {rule: np.zeros(6, int) for rule in rules}
    for series, sources in _boxes_by_series(coco).items():
        truth = read_truth(series)
        existing = sources.pop('annotated', SliceBoxes.empty())
        missing = ~_meet(existing, truth.boxes, theta)[1]
        withheld = np.setdiff1d(truth.label, truth.label[~missing])
        for rule in rules:
            boxes = sources.get(rule, SliceBoxes.empty())
            right, hit = _meet(boxes, truth.boxes, theta)
            found = np.intersect1d(withheld, truth.label[hit])
            counts = [right.size, right.sum(), missing.sum(), (hit & missing).sum()]
            totals[rule] += [*counts, withheld.size, found.size]
    names = ('boxes', 'right', 'missing', 'found', 'withheld', 'withheld_found')
    rows = [dict(rule=rule, **dict(zip(names, total.tolist()))) for rule, total in totals.items()]
    return [_with_shares(row) for row in rows]


def _with_shares(row):
    shares = {'precision': ('right', 'boxes'), 'recall': ('found', 'missing')}
    return row | {
        name: round(row[part] / row[whole], 4) if row[whole] else None
        for name, (part, whole) in shares.items()
    }


def _meet(boxes, truth, theta):
    """Return which boxes match a true box, and which true boxes are matched."""
    rows, columns, ious = slice_overlap_pairs(boxes, truth)
    return tuple(
        np.isin(np.arange(len(side.scores)), index[ious > theta])
        for side, index in ((boxes, rows), (truth, columns))
    )


def _boxes_by_series(coco):
    """Return {series: {source: SliceBoxes}} of COCO content, without previously ignored boxes."""
    image_of = {image['id']: image for image in coco['images']}
    series = {}
    for image in coco['images']:
        series.setdefault(series_of(image['file_name']), {})
    for annotation in coco['annotations']:
        if annotation['source'] not in RULES and not is_target(annotation):
            continue
        image = image_of[annotation['image_id']]
        sources = series[series_of(image['file_name'])]
        source = annotation['source'] if annotation['source'] in RULES else 'annotated'
        sources.setdefault(source, []).append((annotation, image))
    return {
        name: {source: _slice_boxes(found) for source, found in sources.items()}
        for name, sources in series.items()
    }


def _slice_boxes(found):
    boxes = np.array([file_box(annotation, image) for annotation, image in found], float)
    numbers = np.array([image['slice_index'] for _, image in found])
    scores = np.array([annotation.get('score', 1) for annotation, _ in found], float)
    return SliceBoxes(boxes, numbers, scores)
