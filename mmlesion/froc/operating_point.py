"""True positives, false positives and missed lesions at one score threshold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from mmlesion.structures import Detections, Lesions

from .froc import Protocol, evaluate_froc
from .matching import match


class Outcomes(NamedTuple):
    """The n detections that reach a score threshold and the m lesions of a dataset, matched.

    A detection that is neither a true nor a false positive counts neither way: it matches only
    lesions that a detection of higher score matches too, or ignored ground truth.

    Args:
        detections: In descending order of score.
        true_positive: (n,) bool, the first detection of a lesion.
        false_positive: (n,) bool, a detection that matches nothing.
        missed: (m,) bool, a lesion without a detection; False for ignored ones.
    """

    detections: Detections
    true_positive: np.ndarray
    false_positive: np.ndarray
    missed: np.ndarray


def threshold_at(
    detections: Detections, lesions: Lesions, num_images: int, criterion: Callable, fp_rate: float
) -> float | None:
    """Return the lowest score with at most ``fp_rate`` false positives per image.

    Args:
        detections: Those of all images.
        lesions: Those of all images.
        num_images: Number of images, those without lesions included.
        criterion: Says which pairs match, see :func:`~.matching.match`.
        fp_rate: False positives per image.

    Returns:
        float | None: The score; None where even the highest makes more false positives.
    """
    result = evaluate_froc(detections, lesions, num_images, Protocol(criterion, (fp_rate,)))
    return result['score_thresholds'][0]


def outcomes_at(
    detections: Detections, lesions: Lesions, criterion: Callable, score_thr: float
) -> Outcomes:
    """Match the detections that reach a score threshold, as the FROC curve does.

    Args:
        detections: Those of all images.
        lesions: Those of all images.
        criterion: Says which pairs match, see :func:`~.matching.match`.
        score_thr: The lowest score that counts.

    Returns:
        Outcomes: Of each detection and each lesion.
    """
    ranked = detections.take(np.argsort(-detections.score, kind='stable'))
    kept = ranked.take(ranked.score >= score_thr)
    false_positive, first_match = match(kept, lesions, criterion)
    found = ~lesions.ignore & (first_match < len(kept))
    true_positive = np.zeros(len(kept), dtype=bool)
    # further detections of a lesion that is found are neither true nor false positives
    true_positive[first_match[found]] = True
    return Outcomes(kept, true_positive, false_positive, ~lesions.ignore & ~found)


def pick_in_turn(rankings: Sequence[Sequence[int]], patients: list, num: int) -> list[int]:
    """Pick images from the heads of several rankings in turn, one of each patient.

    Args:
        rankings: Each has indices of images, the best first.
        patients: Of each image its patient's name or id.
        num: The most to pick.

    Returns:
        list[int]: Those of the first ranking, then those of the second, and so on.
    """
    # Iterators, so that each ranking continues after the last image that was taken from it.
    waiting = list(enumerate(map(iter, rankings)))
    picked: list[tuple[int, int]] = []
    seen: set[str] = set()
    while waiting and len(picked) < num:
        number, ranking = waiting.pop(0)
        image = next((image for image in ranking if str(patients[image]) not in seen), None)
        if image is not None:
            seen.add(str(patients[image]))
            picked.append((number, image))
            # to the end of the queue; a ranking that has none left is dropped
            waiting.append((number, ranking))
    return [image for _, image in sorted(picked, key=lambda pick: pick[0])]
