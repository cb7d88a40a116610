"""Propagation of annotations to other slices (LENS, section Cross-Slice Box Propagation)."""

from __future__ import annotations

import numpy as np

from mmlesion.structures import SliceBoxes

from .tracklets import slice_overlap_pairs, suppress, without_overlap


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
    # rows are boxes, of which each stands for its tracklet
    hit = ious > iou_thr
    meets[tracklets[rows[hit]], columns[hit]] = True
    return meets


def propagate(
    proposals: SliceBoxes, tracklets: np.ndarray, annotations: SliceBoxes, iou_thr: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes of matched tracklets on slices other than the key slice.

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
