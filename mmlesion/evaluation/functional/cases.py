"""FROC curves by patient, for the resampling of a paired comparison."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmlesion.structures import Detections, Lesions

from .froc import CurveEvents, Matched, curve_of, sensitivity_at

MISSED = -1
"""The point of a lesion that no detection reaches."""


class Cases(NamedTuple):
    """The events that move the FROC curve of a test run, with their patients.

    Points of the curve count from 0, in descending order of score: events of one point happen
    together.

    Args:
        items (list): Names of the n images or scans.
        patient (ndarray): (n,) int, index of each item's patient.
        fp_levels (ndarray): (l,) false positives per item at which sensitivity is read.
        fp_item (ndarray): (f,) int, item of each false positive.
        fp_point (ndarray): (f,) int, its point.
        lesion_item (ndarray): (m,) int, item of each lesion to find.
        lesion_point (ndarray): (m,) int, the point at which it is found, ``MISSED`` if never.
        as_roc (bool): Whether counts become rates as LUNA16's program has it.
    """

    items: list
    patient: np.ndarray
    fp_levels: np.ndarray
    fp_item: np.ndarray
    fp_point: np.ndarray
    lesion_item: np.ndarray
    lesion_point: np.ndarray
    as_roc: bool

    def sensitivity(self, patient_weight: np.ndarray) -> np.ndarray:
        """Read the curve of a draw of patients.

        Args:
            patient_weight (ndarray): (p,) how often each patient was drawn.

        Returns:
            ndarray: (l,) sensitivities at the levels; NaN where no lesion was drawn.
        """
        weight = patient_weight[self.patient].astype(float)
        num_lesions = weight[self.lesion_item].sum()
        curve = curve_of(self._events(), weight.sum(), num_lesions, self.as_roc, weight)
        return sensitivity_at(*curve, self.fp_levels)

    def _events(self) -> CurveEvents:
        found = self.lesion_point != MISSED
        points = np.concatenate([self.fp_point, self.lesion_point])
        return CurveEvents(
            num_points=1 + points.max(initial=-1),
            fp_point=self.fp_point,
            fp_item=self.fp_item,
            hit_point=self.lesion_point[found],
            hit_item=self.lesion_item[found],
        )


def froc_cases(detections: Detections, lesions: Lesions, items: list, patients: list, protocol):
    """Return the case of each event of a FROC curve.

    Args:
        detections (Detections): Those of all items.
        lesions (Lesions): Those of all items.
        items (list): Names of the n images or scans.
        patients (list): Of each item its patient's name or id.
        protocol (Protocol): The rules.

    Returns:
        Cases: They give the curve of
        :func:`~mmlesion.evaluation.functional.evaluate_froc` where each patient counts once.
    """
    matched = Matched(detections, lesions, len(items), protocol)
    wanted = ~lesions.ignore
    found = matched.first_hit < len(matched.point_of)
    lesion_point = np.full(len(found), MISSED)
    lesion_point[found] = matched.point_of[matched.first_hit[found]]
    fp_point, lesion_point = _without_gaps(matched.fp_point, lesion_point[wanted])
    _, patient = np.unique([str(name) for name in patients], return_inverse=True)
    return Cases(
        items=list(items),
        patient=patient,
        fp_levels=np.asarray(protocol.fp_levels, dtype=float),
        fp_item=matched.fp_item,
        fp_point=fp_point,
        lesion_item=lesions.item[wanted],
        lesion_point=lesion_point,
        as_roc=matched.as_roc,
    )


def _without_gaps(fp_point, lesion_point):
    """Count only the points at which the curve moves; a missed lesion stays so."""
    found = lesion_point != MISSED
    points = np.unique(np.concatenate([fp_point, lesion_point[found]]))
    numbered = lesion_point.copy()
    numbered[found] = np.searchsorted(points, lesion_point[found])
    return np.searchsorted(points, fp_point), numbered
