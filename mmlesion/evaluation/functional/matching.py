"""Matching all detections of a data set with all its lesions at once."""

from typing import NamedTuple, Optional

import numpy as np

# Pairs of a detection and a lesion that are looked at together: so many that their coordinates stay
# in the processor's cache.
MAX_PAIRS = 1 << 14


class Detections(NamedTuple):
    """The n detections of a data set.

    Args:
        item (ndarray): (n,) int, index of the image or scan that each lies in.
        geometry (ndarray): (n, k) float, boxes or centres, as the criterion wants them.
        score (ndarray): (n,) float.
        label (ndarray, optional): (n,) int classes. Without them every lesion can be reached.
    """

    item: np.ndarray
    geometry: np.ndarray
    score: np.ndarray
    label: Optional[np.ndarray] = None

    def take(self, index):
        """The detections that a boolean mask or an array of indices picks, in its order."""
        return Detections(*(None if column is None else column[index] for column in self))


class Lesions(NamedTuple):
    """The m lesions of a data set.

    Args:
        item (ndarray): (m,) int, index of the image or scan that each lies in.
        geometry (ndarray): (m, k) float, boxes or spheres, as the criterion wants them.
        ignore (ndarray): (m,) bool, True for findings that are no lesions to find, though a
            detection that reaches one is no false positive either.
        label (ndarray, optional): (m,) int classes.
    """

    item: np.ndarray
    geometry: np.ndarray
    ignore: np.ndarray
    label: Optional[np.ndarray] = None

    def take(self, index):
        """The lesions that a boolean mask or an array of indices picks, in its order."""
        return Lesions(*(None if column is None else column[index] for column in self))


def match(detections, lesions, criterion):
    """Find what each detection reaches.

    Args:
        detections (Detections): n detections by falling rank.
        lesions (Lesions): m lesions.
        criterion (Callable): Takes (p, k) detections and (p, k) lesions, says which of the p pairs
            match, (p,) bool.

    Returns:
        tuple[ndarray, ndarray]: (n,) bool, False for a detection that reaches any lesion, ignored
        ones included; (m,) int, the first detection to reach each lesion, n if there is none.
    """
    count = len(detections.score)
    false_positive = np.ones(count, dtype=bool)
    first_hit = np.full(len(lesions.ignore), count)
    # Gathered coordinate by coordinate, each contiguous: criteria work on one at a time.
    found, wanted = (np.ascontiguousarray(one.geometry.T) for one in (detections, lesions))
    for detection, lesion in _candidate_pairs(*_keys(detections, lesions)):
        hit = criterion(found[:, detection].T, wanted[:, lesion].T)
        false_positive[detection[hit]] = False
        np.minimum.at(first_hit, lesion[hit], detection[hit])
    return false_positive, first_hit


def _keys(detections, lesions):
    """Numbers that are equal for a detection and a lesion that may match: of item, and class."""
    if detections.label is None or lesions.label is None:
        return detections.item, lesions.item
    classes = 1 + max(detections.label.max(initial=0), lesions.label.max(initial=0))
    return (
        detections.item * classes + detections.label,
        lesions.item * classes + lesions.label,
    )


def _candidate_pairs(detection_key, lesion_key):
    """Yield blocks of index pairs (detection, lesion) with equal keys, two (p,) int arrays."""
    by_key = np.argsort(lesion_key, kind='stable')
    num_keys = 1 + max(detection_key.max(initial=-1), lesion_key.max(initial=-1))
    lesions_of = np.bincount(lesion_key, minlength=num_keys)
    first = np.cumsum(lesions_of) - lesions_of
    candidates = lesions_of[detection_key]
    total = np.cumsum(candidates)
    cuts = np.searchsorted(total, np.arange(MAX_PAIRS, total[-1] if len(total) else 0, MAX_PAIRS))
    bounds = np.unique([0, *cuts, len(detection_key)])
    for low, high in zip(bounds[:-1], bounds[1:]):
        number = candidates[low:high]
        detection = np.repeat(np.arange(low, high), number)
        # Position within its own run of lesions: a running number less the runs before.
        within = np.arange(len(detection)) - np.repeat(np.cumsum(number) - number, number)
        yield detection, by_key[first[detection_key[detection]] + within]
