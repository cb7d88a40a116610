"""Match all detections of a dataset with all its lesions at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Callable

import numpy as np

from mmlesion.structures import Detections, Lesions

# Pairs of a detection and a lesion that are looked at together: so many that their coordinates stay
# in the processor's cache.
MAX_PAIRS = 1 << 14


def match(
    detections: Detections, lesions: Lesions, criterion: Callable
) -> tuple[np.ndarray, np.ndarray]:
    """Match detections with lesions.

    Args:
        detections: n detections in descending order of rank.
        lesions: m lesions.
        criterion: Takes (p, k) detections and (p, k) lesions, says which of the p pairs
            match, (p,) bool.

    Returns:
        tuple[ndarray, ndarray]: (n,) bool, False for a detection that matches any lesion, ignored
        ones included; (m,) int, the first detection to match each lesion, n if there is none.
    """
    count = len(detections.score)
    false_positive = np.ones(count, dtype=bool)
    first_match = np.full(len(lesions.ignore), count)
    # Gathered coordinate by coordinate, each contiguous: criteria work on one at a time.
    detected = np.ascontiguousarray(detections.geometry.T)
    ground_truth = np.ascontiguousarray(lesions.geometry.T)
    detection_key, lesion_key = _keys(detections, lesions)
    for detection, lesion in _candidate_pairs(detection_key, lesion_key):
        hit = criterion(detected[:, detection].T, ground_truth[:, lesion].T)
        false_positive[detection[hit]] = False
        np.minimum.at(first_match, lesion[hit], detection[hit])
    return false_positive, first_match


def _keys(detections: Detections, lesions: Lesions) -> tuple[np.ndarray, np.ndarray]:
    """Return a number for each detection and lesion, equal where case and class are equal."""
    if detections.label is None or lesions.label is None:
        return detections.case, lesions.case
    classes = 1 + max(detections.label.max(initial=0), lesions.label.max(initial=0))
    return (
        detections.case * classes + detections.label,
        lesions.case * classes + lesions.label,
    )


def _candidate_pairs(
    detection_key: np.ndarray, lesion_key: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield blocks of index pairs (detection, lesion) with equal keys, two (p,) int arrays."""
    # Lesions sorted by key: those of key k are by_key[first[k] : first[k] + lesions_of[k]].
    by_key = np.argsort(lesion_key, kind='stable')
    num_keys = 1 + max(detection_key.max(initial=-1), lesion_key.max(initial=-1))
    lesions_of = np.bincount(lesion_key, minlength=num_keys)
    first = np.cumsum(lesions_of) - lesions_of
    candidates = lesions_of[detection_key]
    bounds = _block_bounds(candidates)
    for low, high in zip(bounds[:-1], bounds[1:]):
        # Each detection is repeated once for each of its candidate lesions.
        number = candidates[low:high]
        detection = np.repeat(np.arange(low, high), number)
        # Position within its own run of lesions: a running number less the runs before.
        within = np.arange(len(detection)) - np.repeat(np.cumsum(number) - number, number)
        yield detection, by_key[first[detection_key[detection]] + within]


def _block_bounds(candidates: np.ndarray) -> np.ndarray:
    """Return where to cut n detections, so that a block has about ``MAX_PAIRS`` candidates.

    Args:
        candidates: (n,) int, the number of lesions that each detection may match.

    Returns:
        ndarray: Ascending indices from 0 to n; a block lies between two neighbors.
    """
    total = np.cumsum(candidates)
    num_pairs = total[-1] if len(total) else 0
    cuts = np.searchsorted(total, np.arange(MAX_PAIRS, num_pairs, MAX_PAIRS))
    return np.unique(np.concatenate([[0], cuts, [len(candidates)]]))
