"""Pairs of lesions in two studies, and how they have changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

MAX_DISTANCE_MM = 15.0
"""The farthest that a lesion's center may be from where the registration expects it."""
UNKNOWN = -1


class StudyLesions(NamedTuple):
    """The n lesions of a study.

    Args:
        center_mm: (n, 3) LPS.
        diameter_mm: (n,) long diameters.
        embedding: (n, d) of length 1; similar lesions have similar ones.
    """

    center_mm: np.ndarray
    diameter_mm: np.ndarray
    embedding: np.ndarray | None = None


class Pairs(NamedTuple):
    """Lesions by index in their study.

    Args:
        earlier: (p,) int.
        later: (p,) int.
        distance_mm: (p,) of the centers after registration.
        vanished: (v,) int, of the earlier study, without a partner.
        new: (w,) int, of the later study.
    """

    earlier: np.ndarray
    later: np.ndarray
    distance_mm: np.ndarray
    vanished: np.ndarray
    new: np.ndarray


def pair_lesions(
    earlier: StudyLesions,
    later: StudyLesions,
    expected_mm: np.ndarray,
    max_distance_mm: float = MAX_DISTANCE_MM,
) -> Pairs:
    """Pair lesions one to one so that most are paired, at the least sum of costs.

    The cost of a pair is the distance of the centers relative to the largest one allowed, plus the
    cosine distance of embeddings if both studies have them.

    Args:
        earlier: n lesions.
        later: m lesions.
        expected_mm: (n, 3) centers of the earlier lesions in the later study.
        max_distance_mm: Centers farther apart are not paired; a lesion's own radius is
            added, as the center of a large one is less certain.

    Returns:
        Pairs: In the order of the earlier study.
    """
    # (n, m) mm between n earlier lesions, where they are expected, and m later ones
    distance = np.linalg.norm(expected_mm[:, None] - later.center_mm[None], axis=-1)
    # a large lesion's center moves more when its outline changes
    allowed = max_distance_mm + earlier.diameter_mm[:, None] / 2
    cost = distance / allowed
    if earlier.embedding is not None and later.embedding is not None:
        # of unit length: one less their cosine is 0 for equal embeddings and 2 at most
        cost = cost + 1 - earlier.embedding @ later.embedding.T
    # A forbidden pair costs more than all allowed ones together, so that it is never preferred.
    forbidden = distance > allowed
    rows, columns = linear_sum_assignment(np.where(forbidden, 4.0 * (1 + cost.size), cost))
    kept = ~forbidden[rows, columns]
    rows, columns = rows[kept], columns[kept]
    return Pairs(
        earlier=rows,
        later=columns,
        distance_mm=distance[rows, columns],
        vanished=np.setdiff1d(np.arange(len(distance)), rows),
        new=np.setdiff1d(np.arange(distance.shape[1]), columns),
    )


class SumOfDiameters(NamedTuple):
    """RECIST 1.1's sum of the long diameters of the lesions of the earlier study.

    Args:
        earlier_mm: The sum.
        later_mm: The sum of the same lesions; vanished ones count 0.
        change_percent: Relative to ``earlier_mm``; NaN if that is 0.
        response: Of these two studies alone, see :func:`sum_of_diameters`.
    """

    earlier_mm: float
    later_mm: float
    change_percent: float
    response: str


def sum_of_diameters(earlier: StudyLesions, later: StudyLesions, pairs: Pairs) -> SumOfDiameters:
    """Sum the long diameters as RECIST 1.1 does, over all lesions instead of chosen targets.

    The response is ``progressive`` with a new lesion, or if the sum grows by 20 % and 5 mm or more;
    ``complete`` if all lesions have vanished, ``partial`` if it shrinks by 30 % or more, and
    otherwise ``stable``. RECIST compares growth with the smallest sum of all studies, here with the
    earlier one, and needs a reader who confirms that new lesions are lesions.

    Args:
        earlier: n lesions.
        later: m lesions.
        pairs: Of the two.
    """
    before = float(earlier.diameter_mm.sum())
    after = float(later.diameter_mm[pairs.later].sum())
    change = 100 * (after - before) / before if before else float('nan')
    # RECIST 1.1: growth of 20 % counts from 5 mm on; a new lesion is progress in any case
    if len(pairs.new) or (change >= 20 and after - before >= 5):
        response = 'progressive'
    elif len(pairs.earlier) == 0:
        response = 'complete'
    else:
        response = 'partial' if change <= -30 else 'stable'
    return SumOfDiameters(before, after, change, response)
