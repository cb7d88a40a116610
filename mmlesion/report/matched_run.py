"""The detections of one run, matched for a report."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmlesion.froc import (
    Cases,
    MatchedDetections,
    OverlapCriterion,
    Protocol,
    box_overlaps,
    froc_cases,
)
from mmlesion.structures import Detections, GroundTruth

NEVER = -np.inf
"""The score of a lesion that no detection matches."""
KINDS = ('neutral', 'true positive', 'false positive')


class MatchedRun(NamedTuple):
    """The n detections of a run and the m lesions of its test set.

    Args:
        name: Of the run.
        detections: In descending order of score.
        kind: (n,) int, index in :data:`KINDS`. A detection that is neutral matches only
            ignored ground truth or lesions that a higher score has matched.
        found_score: (m,) float, the highest score that matches each lesion, ``NEVER`` if
            none does.
        found_overlap: (m,) float, that detection's overlap, NaN without one, as for all
            lesions if detections have no extent.
        cases: What a paired comparison needs.
    """

    name: str
    detections: Detections
    kind: np.ndarray
    found_score: np.ndarray
    found_overlap: np.ndarray
    cases: Cases


def match_run(
    name: str,
    detections: Detections,
    truth: GroundTruth,
    protocol: Protocol,
) -> MatchedRun:
    """Match the detections of a run as the FROC curve does.

    Args:
        name: Of the run.
        detections: Those of all images or scans.
        truth: The lesions of all images or scans.
        protocol: The rules.

    Returns:
        MatchedRun: Of all detections that count, whatever their score.
    """
    lesions = truth.lesions
    matched = MatchedDetections(detections, lesions, len(truth.cases), protocol)
    ranked, found = matched.detections, matched.detected
    first = matched.first_match[found]

    kind = np.zeros(len(ranked), dtype=int)
    # the best detection of a counted lesion; its others stay neutral
    kind[matched.first_match[found & matched.counted]] = KINDS.index('true positive')
    kind[matched.false_positive] = KINDS.index('false positive')
    found_score = np.full(len(lesions), NEVER)
    found_score[found] = ranked.score[first]
    found_overlap = np.full(len(lesions), np.nan)
    criterion = protocol.criterion
    if isinstance(criterion, OverlapCriterion):
        # of pairs: the first detection that matches a lesion, and that lesion
        found_overlap[found] = box_overlaps(
            ranked.geometry[first], lesions.geometry[found], criterion.metric, criterion.inclusive
        )
    cases = froc_cases(matched, truth.cases, truth.patients)
    return MatchedRun(name, ranked, kind, found_score, found_overlap, cases)
