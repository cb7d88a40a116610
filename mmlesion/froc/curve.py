"""The FROC curve: counts of events, points and what is read of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """A FROC curve, from (0, 0).

    Args:
        fp: (p + 1,) ascending false positives per case.
        sensitivity: (p + 1,) sensitivities.
    """

    fp: np.ndarray
    sensitivity: np.ndarray

    def at(self, fp_rates: np.ndarray) -> np.ndarray:
        """Return the sensitivity (l,) at l FP rates, see :func:`sensitivity_at`."""
        return sensitivity_at(self.fp, self.sensitivity, fp_rates)


class CurveEvents(NamedTuple):
    """The false positives and first matches of lesions that make a FROC curve.

    Args:
        num_points: Number of points p of the curve.
        fp_point: (f,) int, the point of each false positive.
        fp_case: (f,) int, its case.
        hit_point: (h,) int, the point at which each detected lesion is matched first.
        hit_case: (h,) int, the lesion's case.
    """

    num_points: int
    fp_point: np.ndarray
    fp_case: np.ndarray
    hit_point: np.ndarray
    hit_case: np.ndarray


def sensitivity_at(fp: np.ndarray, sensitivity: np.ndarray, fp_rates: np.ndarray) -> np.ndarray:
    """Read a curve at numbers of false positives per case, linearly between its points.

    Of several points with the same false positives the last counts; beyond the curve's end its last
    sensitivity does.

    Args:
        fp: (p,) ascending false positives per case, from 0.
        sensitivity: (p,) sensitivities.
        fp_rates: (l,) false positives per case.

    Returns:
        ndarray: (l,) sensitivities.
    """
    return np.interp(fp_rates, fp, sensitivity)


def curve_of(
    events: CurveEvents,
    num_cases: float,
    num_lesions: float,
    as_roc: bool = False,
    weight: np.ndarray | None = None,
) -> Curve:
    """Turn events into false positives per case and sensitivity.

    With ``as_roc`` counts are divided, multiplied and divided again as LUNA16's program does after
    its ROC analysis: its FP rates are whole numbers of false positives on 888 scans, so that the
    last bit decides which end of a vertical step is read.

    Args:
        events: At p points.
        num_cases: Number of cases, or the sum of their weights.
        num_lesions: Number of lesions, or the sum of their cases' weights.
        as_roc: Whether to divide as LUNA16's program does. Defaults to False.
        weight: (num_cases,) how often each case counts. Defaults to None, once.

    Returns:
        Curve: Its p + 1 points, from (0, 0).
    """
    fp = _running_count(events.fp_point, events.fp_case, events.num_points, weight)
    hits = _running_count(events.hit_point, events.hit_case, events.num_points, weight)
    if as_roc:
        fp, hits = _divide_as_roc(fp), _divide_as_roc(hits)
    with np.errstate(invalid='ignore'):
        return Curve(fp / num_cases, hits / np.float64(num_lesions))


def _running_count(
    point: np.ndarray, case: np.ndarray, num_points: int, weight: np.ndarray | None
) -> np.ndarray:
    """Count the events up to each point of the curve, each as often as its case.

    Args:
        point: (e,) int, the point of each event.
        case: (e,) int, its case.
        num_points: Number of points p.
        weight: (num_cases,) how often each case counts.

    Returns:
        ndarray: (p + 1,) counts, from 0.
    """
    weight_of_event = None if weight is None else weight[case]
    return np.append(0.0, np.cumsum(np.bincount(point, weight_of_event, num_points)))


def _divide_as_roc(count: np.ndarray) -> np.ndarray:
    """Turn a running count into a rate and back, which may change its last bit."""
    total = count[-1]
    return count / total * total if total else count


def curve_corners(curve: Curve, score: np.ndarray) -> dict[str, list]:
    """Return the curve without repeated points and points inside straight lines.

    It draws and interpolates as the whole curve does. Its first point, (0, 0), has the best score.
    """
    fp, sensitivity = curve
    score = np.append(score[:1], score)
    if not len(score):
        return {'fp': [], 'sensitivity': [], 'score': []}
    # Where duplicates leave the curve standing, only the lowest score matters.
    moves = np.append((np.diff(fp) != 0) | (np.diff(sensitivity) != 0), True)
    fp, sensitivity, score = fp[moves], sensitivity[moves], score[moves]
    # The curve moves along one axis or both. A point inside a horizontal or vertical line has such
    # a step before and after it; the two ends always stay.
    still_fp, still_hit = np.diff(fp) == 0, np.diff(sensitivity) == 0
    keep = np.ones(len(fp), dtype=bool)
    keep[1:-1] = ~((still_fp[1:] & still_fp[:-1]) | (still_hit[1:] & still_hit[:-1]))
    return {
        'fp': fp[keep].tolist(),
        'sensitivity': sensitivity[keep].tolist(),
        'score': score[keep].tolist(),
    }
