"""The detections of one run, matched for a report, and the images on which to look at them."""

from __future__ import annotations

from collections.abc import Sequence
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


def lesion_areas(truth: GroundTruth, images: Sequence[dict]) -> np.ndarray:
    """Return the area of each lesion's box.

    Args:
        truth: Its m lesions have boxes x1, y1, x2, y2 in px.
        images: Of the COCO file; ``spacing`` is in mm per px.

    Returns:
        ndarray: (m,) mm², or px² where an image has no ``spacing``.
    """
    px_area = np.array([np.prod(image.get('spacing', (1, 1))) for image in images])
    boxes = truth.lesions.geometry
    # (m, 2) px along x and y
    extent = boxes[:, 2:] - boxes[:, :2]
    return extent.prod(axis=1) * px_area[truth.lesions.case]


def choose_images(run: MatchedRun, truth: GroundTruth, area: np.ndarray, num: int) -> list[int]:
    """Choose the images on which a run is worth looking at.

    Args:
        run: The run.
        truth: Its test set.
        area: (m,) area of each lesion.
        num: The most images for each of the three questions.

    Returns:
        list[int]: Indices of images, without duplicates: first those of the false positives with
        the highest scores, then those of the lesions found with the lowest scores or never, the
        largest first among equals, then those of the matches with the smallest overlap.
    """
    lesions = truth.lesions
    wrong = run.detections.case[run.kind == KINDS.index('false positive')]
    counted = np.flatnonzero(~lesions.ignore)
    # lexsort sorts by its last key first.
    # ascending score, so that missed lesions (minus infinity) come first, the largest first
    hardest = counted[np.lexsort((-area[counted], run.found_score[counted]))]
    found = counted[~np.isnan(run.found_overlap[counted])]
    loosest = found[np.argsort(run.found_overlap[found], kind='stable')]
    chosen: list[int] = []
    for cases in (wrong, lesions.case[hardest], lesions.case[loosest]):
        # dict.fromkeys keeps the order: each image once, at its first place.
        chosen += list(dict.fromkeys(cases.tolist()))[:num]
    return list(dict.fromkeys(chosen))
