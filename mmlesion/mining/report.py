"""Report of mining: added annotations, their precision and recall where all lesions are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Callable

import numpy as np

from mmlesion.io.schema import is_target
from mmlesion.io.true_masks import TrueLesions

from .annotations import annotated_boxes, by_series, lesion_keys
from .rules import RULES, without_overlap


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

    def row(name: str, applied: Sequence[str], listed: set | None = None) -> dict:
        left_out = set(RULES) - set(applied)
        used = [a for a in coco['annotations'] if a['source'] not in left_out]
        lesions = list(filter(is_target, used))
        uncertain = [a for a in used if a['source'] == RULES[-1]]
        # trained with are the slices that have a lesion, or those given
        slices = {a['image_id'] for a in lesions} if listed is None else listed
        return {
            'rules': name,
            'lesions_3d': len({keys[a['id']] for a in lesions}),
            'lesions_2d': len(lesions),
            'uncertain_2d': sum(a['image_id'] in slices for a in uncertain),
            'slices': len(slices),
        }

    rows = [row('no mining', ())]
    for number, rule in enumerate(RULES, 1):
        if rule in rules:
            rows.append(row(f'+ {rule}', RULES[:number]))
    if unlabeled:
        rows.append(row('+ unlabeled', RULES, {image['id'] for image in coco['images']}))
    return rows


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
    totals = {rule: np.zeros(len(COUNTS), int) for rule in rules}
    for series, (images, listed) in by_series(coco).items():
        truth = read_truth(series)
        existing = [a for a in listed if a['source'] not in RULES and is_target(a)]
        missing = without_overlap(truth.boxes, annotated_boxes(images, existing), iou_thr)
        # lesions of which every box is missing
        withheld = np.setdiff1d(truth.label, truth.label[~missing])
        for rule in rules:
            mined = annotated_boxes(images, [a for a in listed if a['source'] == rule])
            wrong = without_overlap(mined, truth.boxes, iou_thr)
            matched = ~without_overlap(truth.boxes, mined, iou_thr)
            totals[rule] += (
                len(mined),
                (~wrong).sum(),
                missing.sum(),
                (matched & missing).sum(),
                len(withheld),
                len(np.intersect1d(withheld, truth.label[matched])),
            )

    def share(part: int, whole: int) -> float | None:
        return round(part / whole, 4) if whole else None

    rows = []
    for rule, counts in totals.items():
        row: dict[str, Any] = dict(rule=rule) | dict(zip(COUNTS, counts.tolist()))
        row['precision'] = share(row['right'], row['boxes'])
        row['recall'] = share(row['found'], row['missing'])
        rows.append(row)
    return rows


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
    for series, (images, listed) in by_series(coco).items():
        found = list(filter(is_target, listed))
        names = np.array([keys[annotation['id']][1] for annotation in found], str)
        label = np.unique(names, return_inverse=True)[1]
        lesions[series] = TrueLesions(annotated_boxes(images, found), label)
    return lesions
