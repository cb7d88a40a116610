"""Mining with experts of single lesion types (LENS, section Cross-Dataset Lesion Mining)."""

from __future__ import annotations

import numpy as np

from mmlesion.structures import SliceBoxes

from .tracklets import suppress, without_overlap


def uncertain_regions(
    detections: SliceBoxes, known: SliceBoxes, score_thr: float = 0.5, iou_thr: float = 0.5
) -> np.ndarray:
    """Select high-scoring detections that overlap no annotated or mined lesion.

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
