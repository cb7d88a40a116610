"""Free-response ROC: sensitivity versus false positives per image or scan."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable

import numpy as np

from mmlesion.structures import Detections, Lesions
from mmlesion.utils import check_range

from .curve import Curve, CurveEvents, curve_corners, curve_of
from .matching import match


@dataclass(frozen=True)
class Protocol:
    """The rules of a benchmark.

    Args:
        criterion: Says which pairs match, see :func:`~.matching.match`.
        fp_rates: False positives per case at which sensitivity is read.
        merge_ties: Whether detections of equal score make one point of the curve, as an ROC
            curve has it, or one point each, in the order of the published DeepLesion program.
        max_per_case: The most detections that a case may have.
    """

    criterion: Callable
    fp_rates: tuple
    merge_ties: bool = False
    max_per_case: int | None = None

    def __post_init__(self) -> None:
        for fp_rate in self.fp_rates:
            check_range('a false positive level, fp_levels,', fp_rate, 0)
        if self.max_per_case is not None:
            check_range('the most detections, max_per_item,', self.max_per_case, 1)

    @property
    def match_rules(self) -> str:
        """What decides on true positives, in words that differ where the rules do."""
        # a function's repr would hold its address
        criterion = getattr(self.criterion, '__name__', repr(self.criterion))
        limit = 'all' if self.max_per_case is None else f'at most {self.max_per_case}'
        return f'{criterion}, {limit} of a case'


class MatchedDetections:
    """The detections of a dataset after matching, ready to give the curve of any of its lesions.

    Args:
        detections: Those of all cases, in the order of their file.
        lesions: Those of all cases.
        num_cases: Number of images or scans, those without lesions included.
        protocol: The rules.

    Attributes:
        detections: The n that count, in descending order of score.
        false_positive: (n,) bool.
        point_of: (n,) int, the point of the curve that each detection, in descending
            order of score, belongs to.
        score: (p,) float, the score of each point.
        first_match: (m,) int, the first detection to match each lesion, n if none does.
        fp_case: (f,) int, the case of each false positive.
        fp_point: (f,) int, its point.
        lesion_case: (m,) int, the case of each lesion.
        counted: (m,) bool, False for ignored ground truth.
        match_rules: The protocol's.
        seconds: What matching took.
    """

    def __init__(
        self, detections: Detections, lesions: Lesions, num_cases: int, protocol: Protocol
    ) -> None:
        start = time.perf_counter()
        if protocol.max_per_case:
            detections = limit_per_case(detections, protocol.max_per_case)
        detections = _rank(detections)
        self.detections = detections
        # first_match is the rank of the best detection of each lesion, n where there is none
        self.false_positive, self.first_match = match(detections, lesions, protocol.criterion)
        self.point_of, self.score = _points(detections.score, protocol.merge_ties)
        self.fp_point = self.point_of[self.false_positive]
        self.fp_case = detections.case[self.false_positive]
        self.lesion_case = lesions.case
        self.counted = ~lesions.ignore
        self.num_cases = num_cases
        self.fp_rates = np.asarray(protocol.fp_rates, dtype=float)
        self.as_roc = protocol.merge_ties
        self.match_rules = protocol.match_rules
        self.seconds = time.perf_counter() - start

    @property
    def detected(self) -> np.ndarray:
        """(m,) bool, the lesions that any detection matches."""
        return self.first_match < len(self.point_of)

    def events(self, chosen: np.ndarray) -> CurveEvents:
        """Return the events of the curve of some of the lesions, (m,) bool."""
        hits = chosen & self.detected
        hit_point = self.point_of[self.first_match[hits]]
        hit_case = self.lesion_case[hits]
        return CurveEvents(len(self.score), self.fp_point, self.fp_case, hit_point, hit_case)

    def curve(self, chosen: np.ndarray) -> Curve:
        """Return the curve of some of the lesions, (m,) bool."""
        return curve_of(self.events(chosen), self.num_cases, chosen.sum(), self.as_roc)


def evaluate_froc(
    detections: Detections,
    lesions: Lesions,
    num_cases: int,
    protocol: Protocol,
    groups: dict[str, np.ndarray] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> dict:
    """Evaluate detections by the rules of a benchmark.

    All detections are processed in descending order of score. A detection that matches no lesion is
    a false positive; one that matches several lesions is a true positive for each. A further match
    of the same lesion counts neither way, nor does a detection that matches ignored lesions only.

    Args:
        detections: Those of all cases, in the order of their file.
        lesions: Those of all cases.
        num_cases: Number of images or scans, those without lesions included.
        protocol: The rules.
        groups: See :func:`summarize_froc`.
        bootstrap: See :func:`summarize_froc`.
        seed: See :func:`summarize_froc`.

    Returns:
        dict: What :func:`summarize_froc` returns.
    """
    matched = MatchedDetections(detections, lesions, num_cases, protocol)
    return summarize_froc(matched, groups, bootstrap, seed)


def summarize_froc(
    matched: MatchedDetections,
    groups: dict[str, np.ndarray] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> dict:
    """Summarize the FROC curve of matched detections.

    Args:
        matched: Of m lesions.
        groups: Name to (m,) bool, which lesions belong to a group.
            Their sensitivity is read at the false positives of the whole dataset.
        bootstrap: Number of times the cases are drawn with replacement for 95 % confidence
            intervals; 0 for none.
        seed: Random seed of these draws.

    Returns:
        dict: ``fp_levels``, ``sensitivity`` and ``mean``; ``score_thresholds``, at each FP rate the
        lowest score with no more false positives than that, None where there is no such score;
        ``num_lesions``, ``num_items``, ``num_detections``; ``curve`` with lists ``fp``,
        ``sensitivity`` and ``score``; ``seconds`` of evaluation, matching included; ``groups`` and
        ``confidence_interval`` if asked for. Sensitivity is NaN if there are no lesions.
    """
    start = time.perf_counter()
    fp_rates, counted = matched.fp_rates, matched.counted
    curve = matched.curve(counted)
    false_positives = np.cumsum(np.bincount(matched.fp_point, minlength=len(matched.score)))
    # 0.3 of 10 cases are 3, of which the product may fall short in its last bit
    allowed = np.floor(fp_rates * matched.num_cases + 1e-9)
    result = {
        **_at_fp_rates(curve, fp_rates),
        'score_thresholds': score_thresholds(false_positives, matched.score, allowed),
        'num_lesions': int(counted.sum()),
        'num_items': int(matched.num_cases),
        'num_detections': len(matched.point_of),
    }
    if groups:
        result['groups'] = {}
        for name, member in groups.items():
            result['groups'][name] = _group_result(matched, member & counted)
    if bootstrap:
        samples = _bootstrap(matched, bootstrap, seed)
        result['confidence_interval'] = {'seed': seed, **_interval(samples)}
    result['curve'] = curve_corners(curve, matched.score)
    result['seconds'] = matched.seconds + time.perf_counter() - start
    return result


def _group_result(matched: MatchedDetections, chosen: np.ndarray) -> dict:
    """Return the number of the chosen lesions, (m,) bool, and their sensitivity."""
    read = _at_fp_rates(matched.curve(chosen), matched.fp_rates)
    return {'num_lesions': int(chosen.sum()), **read}


def score_thresholds(
    false_positives: np.ndarray, score: np.ndarray, allowed: np.ndarray
) -> list[float | None]:
    """Return operating points: the lowest score with no more false positives than allowed.

    Args:
        false_positives: (p,) ascending numbers of false positives of all cases.
        score: (p,) score of each point, descending.
        allowed: (l,) numbers of false positives.

    Returns:
        list[float | None]: (l,) scores; None where even the highest makes more false positives.
    """
    # A threshold lets all detections of its score in, so that of equal scores the last point tells.
    last = np.append(score[1:] != score[:-1], True)[: len(score)]
    false_positives, score = false_positives[last], score[last]
    # how many points do not exceed each number, which does not fall along the curve
    within = np.searchsorted(false_positives, allowed, side='right')
    return [float(score[count - 1]) if count else None for count in within]


def limit_per_case(detections: Detections, limit: int) -> Detections:
    """Keep a case's best detections, by the rule of the LUNA16 program.

    In a case with more than ``limit`` those that score higher than the first one too many stay, so
    that equal scores at the limit all go.

    Args:
        detections: n detections in any order.
        limit: The most that a case may have.

    Returns:
        Detections: Those that stay, in their order.
    """
    # Sorted by case and, within a case, in descending order of score: case c begins at starts[c],
    # and starts[c] + limit is its first detection too many.
    best_first = np.lexsort((-detections.score, detections.case))
    sizes = np.bincount(detections.case)
    starts = np.cumsum(sizes) - sizes
    threshold = np.full(len(sizes), -np.inf)
    crowded = sizes > limit
    threshold[crowded] = detections.score[best_first[starts[crowded] + limit]]
    return detections.take(detections.score > threshold[detections.case])


def _rank(detections: Detections) -> Detections:
    """Sort by descending score, with ties in the order of the DeepLesion and LENS programs."""
    by_case = np.argsort(detections.case, kind='stable')
    # Not a stable sort: these programs call exactly this on the detections of all cases, case by
    # case, and only the same call on the same array puts equal scores in the same order.
    return detections.take(by_case[np.argsort(detections.score[by_case])[::-1]])


def _points(score: np.ndarray, merge_ties: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return each ranked detection's point on the curve (n,), and the points' scores (p,)."""
    if not merge_ties:
        return np.arange(len(score)), score
    # A point begins where the score falls; the cut leaves nothing where there is no detection.
    new = np.append(True, score[1:] != score[:-1])[: len(score)]
    return np.cumsum(new) - 1, score[new]


def _bootstrap(matched: MatchedDetections, count: int, seed: int) -> np.ndarray:
    """Return sensitivities (count, l) at l FP rates, each row on cases drawn with replacement."""
    generator = np.random.default_rng(seed)
    events, lesion_case = matched.events(matched.counted), matched.lesion_case[matched.counted]
    num_cases = matched.num_cases
    samples = np.empty((count, len(matched.fp_rates)))
    for sample in samples:
        # Matching is not repeated: a case drawn twice brings each of its events twice.
        drawn = generator.integers(num_cases, size=num_cases)
        # (cases,): how often each was drawn
        weight = np.bincount(drawn, minlength=num_cases).astype(float)
        curve = curve_of(events, num_cases, weight[lesion_case].sum(), weight=weight)
        sample[:] = curve.at(matched.fp_rates)
    return samples


def _interval(samples: np.ndarray) -> dict:
    """Return 95 % percentile intervals of the sensitivities and of their mean.

    Draws without any lesion have no sensitivity, and are left out.
    """
    rows = np.column_stack([samples, samples.mean(axis=1)])
    low, high = np.nanpercentile(rows, [2.5, 97.5], axis=0)
    return {
        'confidence': 0.95,
        'num_samples': int(np.isfinite(rows[:, -1]).sum()),
        'lower': low[:-1].tolist(),
        'upper': high[:-1].tolist(),
        'mean': [float(low[-1]), float(high[-1])],
    }


def _at_fp_rates(curve: Curve, fp_rates: np.ndarray) -> dict:
    read = curve.at(fp_rates)
    return {
        'fp_levels': fp_rates.tolist(),
        'sensitivity': read.tolist(),
        'mean': float(read.mean()),
    }
