"""A FROC curve by the patients it comes from: paired comparisons draw these anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .curve import CurveEvents, curve_of
from .froc import MatchedDetections

MISSED = -1
"""The point of a lesion that no detection matches."""


class Cases(NamedTuple):
    """The events that move the FROC curve of a test run, with their patients.

    Points of the curve count from 0, in descending order of score: events of one point happen
    together.

    Args:
        names: Names of the n cases: images or scans.
        patient: (n,) int, index of each case's patient.
        fp_rates: (l,) false positives per case at which sensitivity is read.
        fp_case: (f,) int, case of each false positive.
        fp_point: (f,) int, its point.
        lesion_case: (m,) int, case of each lesion that counts.
        lesion_point: (m,) int, the point at which it is detected, ``MISSED`` if never.
        as_roc: Whether counts become rates as LUNA16's program has it.
        match_rules: What decides on true positives. Defaults to None, not known.
    """

    names: list
    patient: np.ndarray
    fp_rates: np.ndarray
    fp_case: np.ndarray
    fp_point: np.ndarray
    lesion_case: np.ndarray
    lesion_point: np.ndarray
    as_roc: bool
    match_rules: str | None = None

    def sensitivity(self, patient_weight: np.ndarray) -> np.ndarray:
        """Read the curve of a draw of patients.

        Args:
            patient_weight: (p,) how often each patient was drawn.

        Returns:
            ndarray: (l,) sensitivities at the FP rates; NaN where no lesion was drawn.
        """
        # (cases,): each as often as its patient was drawn
        weight = patient_weight[self.patient].astype(float)
        num_lesions = weight[self.lesion_case].sum()
        curve = curve_of(self._events(), weight.sum(), num_lesions, self.as_roc, weight)
        return curve.at(self.fp_rates)

    def _events(self) -> CurveEvents:
        detected = self.lesion_point != MISSED
        points = np.concatenate([self.fp_point, self.lesion_point])
        return CurveEvents(
            num_points=1 + points.max(initial=-1),
            fp_point=self.fp_point,
            fp_case=self.fp_case,
            hit_point=self.lesion_point[detected],
            hit_case=self.lesion_case[detected],
        )


def froc_cases(matched: MatchedDetections, names: Sequence, patients: Sequence) -> Cases:
    """Return in which case each event of a FROC curve happens.

    Args:
        matched: Of n cases.
        names: Names of the cases: images or scans.
        patients: Of each case its patient's name or id.

    Returns:
        Cases: They give the curve of
        :func:`~mmlesion.froc.summarize_froc` where each patient counts once.
    """
    detected = matched.detected
    # lesion -> first detection that matches it -> point of the curve of that detection
    lesion_point = np.full(len(detected), MISSED)
    lesion_point[detected] = matched.point_of[matched.first_match[detected]]
    fp_point, lesion_point = _without_gaps(matched.fp_point, lesion_point[matched.counted])
    _, patient = np.unique([str(name) for name in patients], return_inverse=True)
    return Cases(
        names=list(names),
        patient=patient,
        fp_rates=matched.fp_rates,
        fp_case=matched.fp_case,
        fp_point=fp_point,
        lesion_case=matched.lesion_case[matched.counted],
        lesion_point=lesion_point,
        as_roc=matched.as_roc,
        match_rules=matched.match_rules,
    )


def _without_gaps(fp_point: np.ndarray, lesion_point: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Count only the points at which the curve moves; a missed lesion stays so."""
    detected = lesion_point != MISSED
    moves = np.zeros(1 + max(fp_point.max(initial=0), lesion_point.max(initial=0)), dtype=bool)
    moves[fp_point] = moves[lesion_point[detected]] = True
    number = np.cumsum(moves) - 1  # of each point among those where the curve moves
    return number[fp_point], np.where(detected, number[lesion_point], MISSED)
