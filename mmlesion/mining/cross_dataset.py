"""Mining with experts of single lesion types (LENS, section Cross-Dataset Lesion Mining)."""

from __future__ import annotations

import numpy as np

from mmlesion.structures import SliceBoxes

from .tracklets import free_of, suppress


def uncertain_regions(
    detections: SliceBoxes, known: SliceBoxes, sigma: float = 0.5, theta: float = 0.5
) -> np.ndarray:
    """Select high-scoring detections that overlap no annotated or mined lesion.

    Args:
        detections (SliceBoxes): n boxes of the experts of single-type datasets, on the slices of a
            volume.
        known (SliceBoxes): m annotated and mined boxes of the same volume. A detection that
            overlaps any of them is dropped.
        sigma (float): Minimum score (exclusive). Defaults to 0.5.
        theta (float): Of two detections with a greater IoU, such as those of several experts on one
            lesion, the one with the higher score is kept. Defaults to 0.5.

    Returns:
        ndarray: (k,) indices into ``detections``, ascending.
    """
    picked = np.flatnonzero(detections.scores > sigma)
    picked = picked[free_of(detections.take(picked), known, 0)]
    return picked[suppress(detections.take(picked), theta)]
