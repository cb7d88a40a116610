"""Matching of lesions within a patient (LENS, section Intra-Patient Lesion Matching)."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist


def match_embeddings(
    tracklets: np.ndarray, annotations: np.ndarray, max_distance: float = 0.15
) -> tuple[np.ndarray, np.ndarray]:
    """Find the annotation with the nearest embedding for each tracklet.

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
