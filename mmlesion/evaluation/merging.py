"""Results of several runs as one: of two detectors, and of LUNA16's folds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from mmlesion.froc import box_overlaps
from mmlesion.io.checks import some_names
from mmlesion.io.luna16 import MARK_COLUMNS, read_luna16_predictions, read_series_table
from mmlesion.structures import Detections, Predictions
from mmlesion.utils import UserError

MODES = ('union', 'intersection')


def merge_detections(
    first: Detections,
    second: Detections,
    boxes_of: Callable,
    mode: str = 'union',
    iou_thr: float = 0.1,
) -> Detections:
    """Average the detections of two sets that overlap, and keep or drop the others.

    In each case, detections of the same class are paired one to one, so that the sum of their IoUs
    is the largest there is. Of a pair, place, size and score are averaged.

    Args:
        first: The detections of one detector.
        second: Those of the other.
        boxes_of: Takes geometry (n, k), returns boxes (n, 4) x1, y1, x2, y2 or (n, 6)
            with z.
        mode: 'union' keeps detections without a partner as they are, 'intersection' drops
            them. Defaults to 'union'.
        iou_thr: A pair's IoU is greater than this. Defaults to 0.1, that of the detector's
            NMS.

    Returns:
        Detections: By case, and in descending order of score in each.

    Raises:
        ValueError: If there is no such mode.
    """
    if mode not in MODES:
        raise ValueError(f'mode must be one of {MODES}, not {mode!r}')
    pairs = _pair_indices(first, second, boxes_of, iou_thr)
    left, right = first.take(pairs[:, 0]), second.take(pairs[:, 1])
    geometry = (left.geometry + right.geometry) / 2
    parts = [replace(left, geometry=geometry, score=(left.score + right.score) / 2)]
    if mode == 'union':
        parts += [_without(first, pairs[:, 0]), _without(second, pairs[:, 1])]
    merged = Detections.concat(parts)
    # The last key counts first: case, then descending score.
    return merged.take(np.lexsort((-merged.score, merged.case)))


def _without(detections: Detections, paired: np.ndarray) -> Detections:
    """Return the detections that are not in ``paired``, an array of indices."""
    return detections.take(np.setdiff1d(np.arange(len(detections)), paired))


def _pair_indices(
    first: Detections,
    second: Detections,
    boxes_of: Callable[[np.ndarray], np.ndarray],
    iou_thr: float,
) -> np.ndarray:
    """Return (p, 2) indices of paired detections."""
    first_boxes, second_boxes = boxes_of(first.geometry), boxes_of(second.geometry)
    first_of, second_of = _indices_by_case_and_class(first), _indices_by_case_and_class(second)
    pairs = [np.empty((0, 2), dtype=int)]
    for key in first_of.keys() & second_of.keys():
        rows, columns = first_of[key], second_of[key]
        ious = box_overlaps(
            first_boxes[rows][:, None], second_boxes[columns][None], inclusive=False
        )
        # The assignment pairs all it can: what does not overlap enough, or has no extent (NaN),
        # adds nothing to its sum and is dropped afterwards.
        ious = np.where(ious > iou_thr, ious, 0)
        row, column = linear_sum_assignment(ious, maximize=True)
        chosen = ious[row, column] > 0
        pairs.append(np.column_stack([rows[row[chosen]], columns[column[chosen]]]))
    return np.concatenate(pairs)


def _indices_by_case_and_class(detections: Detections) -> dict[tuple, np.ndarray]:
    """Return the indices of the detections of each (case, class)."""
    case, label = detections.case, detections.label
    classes = np.zeros_like(case) if label is None else label
    keys, group = np.unique(np.column_stack([case, classes]), axis=0, return_inverse=True)
    group = group.ravel()
    # Sorted by group, the indices of a group are neighbors: cut where the next group begins.
    order = np.argsort(group, kind='stable')
    cuts = np.cumsum(np.bincount(group, minlength=len(keys)))[:-1]
    return dict(zip(map(tuple, keys.tolist()), np.split(order, cuts)))


LUNA16_SCANS = 888
"""The scans of LUNA16."""


def pool_luna16_predictions(paths: list, cases: list) -> Predictions:
    """Read the LUNA16 submissions of the folds of cross-validation as one.

    Args:
        paths: CSV files, each with a header of its own.
        cases: Series of the ground truth.

    Returns:
        Predictions: Of all files.

    Raises:
        UserError: If a scan is in two files: folds test each scan once.
    """
    file_of: dict[str, str | Path] = {}
    detections, unknown, num_unknown = [], [], 0
    for path in paths:
        part = read_luna16_predictions(path, cases)
        # a scan in two files would have its marks counted twice
        listed = [cases[case] for case in np.unique(part.detections.case)]
        _note_scans(file_of, listed + part.unknown_cases, path)
        detections.append(part.detections)
        unknown += part.unknown_cases
        num_unknown += part.num_unknown
    return Predictions(Detections.concat(detections), unknown, num_unknown)


def _note_scans(file_of: dict[str, str | Path], scans: list[str], path: str | Path) -> None:
    """Record the file of each scan, or raise an error for a scan that has one already."""
    for scan in sorted(scans):
        if scan in file_of:
            raise UserError(
                f'{scan} has marks in {file_of[scan]} and in {path}: give the file of each '
                'fold once, each of the model that was not trained on it'
            )
        file_of[scan] = path


def luna16_scan_warnings(annotations: str, items: list) -> list:
    """Return warnings if not all of LUNA16's scans are evaluated.

    Args:
        annotations: ``annotations.csv``.
        items: The series that are evaluated.

    Returns:
        list[str]: A line for each, none if all is well.
    """
    lines = []
    names, _ = read_series_table(annotations, (*MARK_COLUMNS, 'diameter_mm'))
    listed = set(items)
    if left_out := [name for name in names if name not in listed]:
        scans = list(dict.fromkeys(left_out))
        lines.append(
            f'{len(left_out)} of the {len(names)} nodules of {annotations} are left out, as their '
            f'scans ({some_names(scans)}) are not in the list of series; the converter reports '
            'which it skipped'
        )
    if len(items) != LUNA16_SCANS:
        lines.append(
            f'{len(items)} scans are evaluated, LUNA16 has {LUNA16_SCANS}: the result cannot be '
            'compared with published ones'
        )
    return lines
