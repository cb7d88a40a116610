"""Scores by patient instead of by lesion."""

import numpy as np

from .froc import Matched

TNP_SENSITIVITY = 0.95
_ROUNDING = 1e-9


def true_negative_patients(detections, lesions, num_items, protocol, sensitivity=TNP_SENSITIVITY):
    """Return the fraction of lesion-free scans without detections at a high sensitivity.

    3D Aggregated Faster R-CNN, section True Negative Patients: N_TNP / N_NP at the highest score
    threshold that lets the sensitivity reach 0.95. A scan is negative if it has no lesion to find;
    marks in ignored findings are no false positives, as in FROC. The benchmarks have a scan a
    patient.

    Args:
        detections (Detections): Those of all items.
        lesions (Lesions): Those of all items.
        num_items (int): Number of scans.
        protocol (Protocol): The rules.
        sensitivity (float): The least sensitivity. Defaults to 0.95.

    Returns:
        dict: ``TNP``, NaN if there are no negative scans or the sensitivity is not reached;
        ``TNP_threshold``, the score, None if it is not reached; ``TNP_sensitivity``, as given.
    """
    matched = Matched(detections, lesions, num_items, protocol)
    wanted = ~lesions.ignore
    reached = matched.curve(wanted)[1][1:] >= sensitivity - _ROUNDING
    negative = np.ones(num_items, dtype=bool)
    negative[lesions.item[wanted]] = False
    result = dict(TNP=float('nan'), TNP_threshold=None, TNP_sensitivity=sensitivity)
    if not reached.any():
        return result
    threshold = matched.score[reached.argmax()]
    clean = np.ones(num_items, dtype=bool)
    clean[matched.fp_item[matched.score[matched.fp_point] >= threshold]] = False
    result['TNP_threshold'] = float(threshold)
    if negative.any():
        result['TNP'] = float(clean[negative].mean())
    return result
