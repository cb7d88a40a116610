"""Scores by patient instead of by lesion."""

from __future__ import annotations

import numpy as np

from .froc import MatchedDetections

TNP_SENSITIVITY = 0.95
_ROUNDING = 1e-9


def true_negative_patients(
    matched: MatchedDetections, sensitivity: float = TNP_SENSITIVITY
) -> dict:
    """Return the share of scans without lesions that have no false positive at high sensitivity.

    3D Aggregated Faster R-CNN, section True Negative Patients: N_TNP / N_NP at the highest score
    threshold at which the sensitivity is at least 0.95. A scan is negative if it has no lesion that
    counts; detections that match ignored lesions are no false positives, as in FROC. The benchmarks
    have one scan per patient.

    Args:
        matched: The detections of all scans.
        sensitivity: The least sensitivity. Defaults to 0.95.

    Returns:
        dict: ``TNP``, NaN if there are no negative scans or the sensitivity is never that high;
        ``TNP_threshold``, the score, None if it never is; ``TNP_sensitivity``, as given.
    """
    # The first point of the curve, (0, 0), has no score: the others are those of matched.score.
    enough = matched.curve(matched.counted).sensitivity[1:] >= sensitivity - _ROUNDING
    result = dict(TNP=float('nan'), TNP_threshold=None, TNP_sensitivity=sensitivity)
    if not enough.any():
        return result
    # argmax is the first point with enough sensitivity, and with it the highest threshold
    threshold = matched.score[enough.argmax()]
    result['TNP_threshold'] = float(threshold)
    negative = np.ones(matched.num_cases, dtype=bool)
    negative[matched.lesion_case[matched.counted]] = False
    clean = np.ones(matched.num_cases, dtype=bool)
    clean[matched.fp_case[matched.score[matched.fp_point] >= threshold]] = False
    if negative.any():
        result['TNP'] = float(clean[negative].mean())
    return result
