"""Merging of two detectors' results (3D Aggregated Faster R-CNN, Table III)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from mmlesion.froc import box_overlaps
from mmlesion.structures import Detections

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
