"""Vectorized matching of all detections of a dataset to its lesions."""

import numpy as np

# Pairs of a detection and a lesion that are looked at together: so many that their coordinates stay
# in the processor's cache.
MAX_PAIRS = 1 << 14


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
    """Return keys of item and class that are equal for candidate pairs."""
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
