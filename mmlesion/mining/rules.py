"""LENS' three rules that mine missing annotations, and the tracklets that they work on."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from mmlesion.froc import box_overlaps, link_boxes
from mmlesion.structures import SliceBoxes


def match_annotations(
    proposals: SliceBoxes, tracklets: np.ndarray, annotations: SliceBoxes, iou_thr: float = 0.5
) -> np.ndarray:
    """Match tracklets to annotations on their key slices ("key-slice IoU").

    Args:
        proposals: n boxes of a volume.
        tracklets: (n,) index of each box's tracklet.
        annotations: m annotated boxes of the same volume.
        iou_thr: A box matches an annotation if their IoU is greater. Defaults to 0.5.

    Returns:
        ndarray: (T, m) bool.
    """
    meets = np.zeros((tracklets.max(initial=-1) + 1, len(annotations.scores)), bool)
    rows, columns, ious = slice_overlap_pairs(proposals, annotations)
    # rows are boxes; each stands for its tracklet
    hit = ious > iou_thr
    meets[tracklets[rows[hit]], columns[hit]] = True
    return meets


def propagate(
    proposals: SliceBoxes, tracklets: np.ndarray, annotations: SliceBoxes, iou_thr: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes of matched tracklets on slices other than the key slice.

    LENS, section Cross-Slice Box Propagation.

    If a tracklet matches annotations on several slices, each of its boxes is assigned to the one on
    the nearest slice. Boxes on an annotation's slice or matching any annotation are redundant and
    dropped; of two boxes that match each other, the one with the higher score is kept.

    Args:
        proposals: n boxes of a volume.
        tracklets: (n,) index of each box's tracklet.
        annotations: m annotated boxes of the same volume.
        iou_thr: The IoU above which boxes match. Defaults to 0.5.

    Returns:
        tuple[ndarray, ndarray]: (k,) indices of mined boxes in ``proposals``, ascending, and (k,)
        of their annotations.
    """
    if not len(annotations.scores) or not len(proposals.scores):
        return np.zeros(0, int), np.zeros(0, int)
    allowed = match_annotations(proposals, tracklets, annotations, iou_thr)[tracklets]
    # (n, m) slices between a box and an annotation, infinite unless the tracklet matches it
    distance = np.abs(proposals.slices[:, None] - annotations.slices).astype(float)
    distance[~allowed] = np.inf
    nearest = distance.min(axis=1)
    new = np.isfinite(nearest) & (nearest > 0) & without_overlap(proposals, annotations, iou_thr)
    mined = np.flatnonzero(new)
    mined = mined[suppress(proposals.take(mined), iou_thr)]
    return mined, distance[mined].argmin(axis=1)


def match_embeddings(
    tracklets: np.ndarray, annotations: np.ndarray, max_distance: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Find the annotation with the nearest embedding for each tracklet.

    LENS, section Intra-Patient Lesion Matching.

    Args:
        tracklets: (t, D) embeddings of the tracklets of a patient.
        annotations: (m, D) embeddings of the annotated lesions of the same patient, of
            all studies and series.
        max_distance: A pair matches if its L2 distance is smaller. Defaults to 0.15.

    Returns:
        tuple[ndarray, ndarray]: (t,) index of the annotation, -1 where none is near enough, and
        (t,) distance to the nearest, infinite if there are no annotations.
    """
    if not len(annotations) or not len(tracklets):
        return np.full(len(tracklets), -1), np.full(len(tracklets), np.inf)
    distances = cdist(tracklets, annotations)
    nearest, least = distances.argmin(axis=1), distances.min(axis=1)
    return np.where(least < max_distance, nearest, -1), least


def uncertain_regions(
    detections: SliceBoxes, known: SliceBoxes, score_thr: float = 0.5, iou_thr: float = 0.5
) -> np.ndarray:
    """Select high-scoring detections that overlap no annotated or mined lesion.

    The experts are of single lesion types (LENS, section Cross-Dataset Lesion Mining).

    Args:
        detections: n boxes of the experts of single-type datasets, on the slices of a
            volume.
        known: m annotated and mined boxes of the same volume. A detection that
            overlaps any of them is dropped.
        score_thr: Minimum score (exclusive). Defaults to 0.5.
        iou_thr: Of two detections with a greater IoU, such as those of several experts on one
            lesion, the one with the higher score is kept. Defaults to 0.5.

    Returns:
        ndarray: (k,) indices into ``detections``, ascending.
    """
    picked = np.flatnonzero(detections.scores > score_thr)
    picked = picked[without_overlap(detections.take(picked), known, 0)]
    return picked[suppress(detections.take(picked), iou_thr)]


def build_tracklets(proposals: SliceBoxes, iou_thr: float = 0.5, grid_steps: int = 1) -> np.ndarray:
    """Link the boxes of consecutive slices (LENS, section Cross-Slice Box Propagation).

    Args:
        proposals: n boxes.
        iou_thr: Two boxes are joined if their IoU is greater. Defaults to 0.5.
        grid_steps: Positions of boxes from a slice to the next. Defaults to 1, the slices.

    Returns:
        ndarray: (n,) index of each box's tracklet, from 0.
    """
    labels = np.zeros(len(proposals.scores), int)
    return link_boxes(
        proposals.boxes, proposals.scores, proposals.slices, labels, iou_thr, grid_steps
    )


def best_boxes(proposals: SliceBoxes, tracklets: np.ndarray) -> np.ndarray:
    """Return the index of each tracklet's highest-scoring box, the first of equal ones.

    Args:
        proposals: n boxes.
        tracklets: (n,) index of each box's tracklet.

    Returns:
        ndarray: (T,) indices into ``proposals``.
    """
    order = np.argsort(-proposals.scores, kind='stable')
    _, first = np.unique(tracklets[order], return_index=True)
    return order[first]


def slice_overlap_pairs(
    first: SliceBoxes, second: SliceBoxes
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the IoU of all pairs of boxes on the same slice.

    Args:
        first: n boxes.
        second: m boxes.

    Returns:
        tuple[ndarray]: (p,) indices into ``first``, ascending, (p,) into ``second``, and (p,) IoU.
    """
    rows, columns = np.nonzero(first.slices[:, None] == second.slices)
    ious = box_overlaps(first.boxes[rows], second.boxes[columns], inclusive=False)
    return rows, columns, np.nan_to_num(ious)


def without_overlap(boxes: SliceBoxes, known: SliceBoxes, iou_thr: float) -> np.ndarray:
    """Return which boxes have no reference box with an IoU over ``iou_thr`` on their slice.

    Args:
        boxes: n boxes.
        known: m boxes.
        iou_thr: 0 for those that do not even touch.

    Returns:
        ndarray: (n,) bool.
    """
    rows, _, ious = slice_overlap_pairs(boxes, known)
    free = np.ones(len(boxes.scores), bool)
    free[rows[ious > iou_thr]] = False
    return free


def suppress(boxes: SliceBoxes, iou_thr: float = 0.5) -> np.ndarray:
    """Suppress boxes that overlap one of a higher score on their slice.

    Args:
        boxes: n boxes.
        iou_thr: Of two boxes with a greater IoU the one with the higher score stays.

    Returns:
        ndarray: (k,) indices of those that stay, ascending.
    """
    # In this order the box with the lower index wins; pairs come in the order of their winners, so
    # that each winner's own fate is known when its turn comes.
    order = np.argsort(-boxes.scores, kind='stable')
    rows, columns, ious = slice_overlap_pairs(boxes.take(order), boxes.take(order))
    conflict = (rows < columns) & (ious > iou_thr)
    kept = np.ones(len(order), bool)
    for winner, loser in zip(rows[conflict], columns[conflict]):
        if kept[winner]:
            kept[loser] = False
    return np.sort(order[kept])
