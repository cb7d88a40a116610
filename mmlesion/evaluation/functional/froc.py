"""Free-response ROC: sensitivity versus false positives per image or scan."""

import time
from dataclasses import dataclass
from typing import Callable, NamedTuple, Optional

import numpy as np

from .matching import match


@dataclass(frozen=True)
class Protocol:
    """The rules of a benchmark.

    Args:
        criterion (Callable): Says which pairs match, see :func:`~.matching.match`.
        fp_levels (tuple[float]): False positives per item at which sensitivity is read.
        merge_ties (bool): Whether detections of equal score make one point of the curve, as an ROC
            curve has it, or one point each, in the order of the published DeepLesion program.
        max_per_item (int, optional): The most detections that an item may have.
    """

    criterion: Callable
    fp_levels: tuple
    merge_ties: bool = False
    max_per_item: Optional[int] = None


class CurveEvents(NamedTuple):
    """The events that move the curve: their points and items."""

    num_points: int
    fp_point: np.ndarray
    fp_item: np.ndarray
    hit_point: np.ndarray
    hit_item: np.ndarray


class Matched:
    """A dataset after matching, from which the curve of any subset of its lesions is computed."""

    def __init__(self, detections, lesions, num_items, protocol):
        if protocol.max_per_item:
            detections = limit_per_item(detections, protocol.max_per_item)
        detections = _rank(detections)
        false_positive, self.first_hit = match(detections, lesions, protocol.criterion)
        self.point_of, self.score = _points(detections.score, protocol.merge_ties)
        self.fp_point = self.point_of[false_positive]
        self.fp_item = detections.item[false_positive]
        self.lesion_item = lesions.item
        self.num_items = num_items
        self.as_roc = protocol.merge_ties

    def events(self, chosen):
        """Return the events (:class:`CurveEvents`) of the lesions in the mask ``chosen`` (m,)."""
        found = chosen & (self.first_hit < len(self.point_of))
        hit_point = self.point_of[self.first_hit[found]]
        hit_item = self.lesion_item[found]
        return CurveEvents(len(self.score), self.fp_point, self.fp_item, hit_point, hit_item)

    def curve(self, chosen):
        """Return (p + 1,) false positives per item and (p + 1,) sensitivities, from (0, 0)."""
        return curve_of(self.events(chosen), self.num_items, chosen.sum(), self.as_roc)


def evaluate_froc(detections, lesions, num_items, protocol, groups=None, bootstrap=0, seed=0):
    """Evaluate detections by the rules of a benchmark.

    Detections over the whole set are taken in descending order of score. One that reaches no lesion
    is a false positive; one that reaches several hits all of them; a further hit on the same lesion
    counts neither way, nor does one that reaches only ignored findings.

    Args:
        detections (Detections): Those of all items, in the order of their file.
        lesions (Lesions): Those of all items.
        num_items (int): Number of images or scans, those without lesions included.
        protocol (Protocol): The rules.
        groups (dict[str, ndarray], optional): Name to (m,) bool, which lesions belong to a group.
            Their sensitivity is read at the false positives of the whole set.
        bootstrap (int): Number of times the items are drawn with replacement for 95 % confidence
            intervals; 0 for none.
        seed (int): Of these draws.

    Returns:
        dict: ``fp_levels``, ``sensitivity`` and ``mean``; ``score_thresholds``, at each level the
        lowest score with no more false positives than that, None where there is no such score;
        ``num_lesions``, ``num_items``, ``num_detections``; ``curve`` with lists ``fp``,
        ``sensitivity`` and ``score``; ``seconds`` of evaluation; ``groups`` and
        ``confidence_interval`` if asked for. Sensitivity is NaN if there are no lesions.
    """
    start = time.perf_counter()
    matched = Matched(detections, lesions, num_items, protocol)
    wanted = ~lesions.ignore
    levels = np.asarray(protocol.fp_levels, dtype=float)
    fp, sensitivity = matched.curve(wanted)
    result = {
        **_at_levels(fp, sensitivity, levels),
        'score_thresholds': score_thresholds(fp[1:], matched.score, levels),
        'num_lesions': int(wanted.sum()),
        'num_items': int(num_items),
        'num_detections': len(matched.point_of),
    }
    if groups:
        result['groups'] = {
            name: {
                'num_lesions': int((member & wanted).sum()),
                **_at_levels(*matched.curve(member & wanted), levels),
            }
            for name, member in groups.items()
        }
    if bootstrap:
        samples = _bootstrap(matched, wanted, levels, bootstrap, seed)
        result['confidence_interval'] = {'seed': seed, **_interval(samples)}
    result['curve'] = _corners(fp, sensitivity, matched.score)
    result['seconds'] = time.perf_counter() - start
    return result


def sensitivity_at(fp, sensitivity, levels):
    """Read a curve at levels of false positives per item, linearly between its points.

    Of several points with the same false positives the last counts; beyond the curve's end its last
    sensitivity does.

    Args:
        fp (ndarray): (p,) rising false positives per item, from 0.
        sensitivity (ndarray): (p,) sensitivities.
        levels (ndarray): (l,) levels.

    Returns:
        ndarray: (l,) sensitivities.
    """
    return np.interp(levels, fp, sensitivity)


def score_thresholds(fp, score, levels):
    """Return the operating point at each level: the lowest score within it.

    Args:
        fp (ndarray): (p,) rising false positives per item.
        score (ndarray): (p,) falling score of each point.
        levels (ndarray): (l,) false positives per item.

    Returns:
        list[float | None]: (l,) scores; None where even the highest makes more false positives.
    """
    # A threshold lets all detections of its score in, so that of equal scores the last point tells.
    last = np.append(score[1:] != score[:-1], True)[: len(score)]
    fp, score = fp[last], score[last]
    within = np.searchsorted(fp, levels, side='right')
    return [float(score[count - 1]) if count else None for count in within]


def limit_per_item(detections, limit):
    """Keep the highest-scoring detections of each item, as in the LUNA16 program.

    In an item with more than ``limit`` those that score higher than the first one too many stay, so
    that equal scores at the limit all go.

    Args:
        detections (Detections): n detections in any order.
        limit (int): The most that an item may have.

    Returns:
        Detections: Those that stay, in their order.
    """
    best_first = np.lexsort((-detections.score, detections.item))
    sizes = np.bincount(detections.item)
    starts = np.cumsum(sizes) - sizes
    threshold = np.full(len(sizes), -np.inf)
    crowded = sizes > limit
    threshold[crowded] = detections.score[best_first[starts[crowded] + limit]]
    return detections.take(detections.score > threshold[detections.item])


def _rank(detections):
    """Sort by descending score, with ties as in the published DeepLesion and LENS programs."""
    by_item = np.argsort(detections.item, kind='stable')
    # Not a stable sort: these programs call exactly this on the detections of all items, item by
    # item, and only the same call on the same array puts equal scores in the same order.
    return detections.take(by_item[np.argsort(detections.score[by_item])[::-1]])


def _points(score, merge_ties):
    """Return each ranked detection's point on the curve (n,), and the points' scores (p,)."""
    if not merge_ties:
        return np.arange(len(score)), score
    new = np.append(True, score[1:] != score[:-1])[: len(score)]
    return np.cumsum(new) - 1, score[new]


def _counts(events, weight=None):
    """Return (p + 1,) false positives and (p + 1,) detected lesions up to each point, from 0.

    Args:
        events (CurveEvents): The events.
        weight (ndarray, optional): (num_items,) how often each item counts.
    """
    fp_weight, hit_weight = (
        None if weight is None else weight[item] for item in (events.fp_item, events.hit_item)
    )
    steps = (
        np.bincount(events.fp_point, fp_weight, events.num_points),
        np.bincount(events.hit_point, hit_weight, events.num_points),
    )
    return tuple(np.append(0.0, np.cumsum(step)) for step in steps)


def curve_of(events, num_items, num_lesions, as_roc=False, weight=None):
    """Convert events to false positives per item and sensitivities.

    With ``as_roc`` counts are divided, multiplied and divided again as LUNA16's program does after
    its ROC analysis: its levels are whole numbers of false positives on 888 scans, so that the last
    bit decides which end of a vertical step is read.

    Args:
        events (CurveEvents): At p points.
        num_items (float): Number of items, or the sum of their weights.
        num_lesions (float): Number of lesions, or the sum of their items' weights.
        as_roc (bool): Whether to divide as LUNA16's program does. Defaults to False.
        weight (ndarray, optional): (num_items,) how often each item counts. Defaults to None, once.

    Returns:
        tuple[ndarray, ndarray]: (p + 1,) false positives per item and (p + 1,) sensitivities, from
        (0, 0).
    """
    fp, hits = _counts(events, weight)
    if as_roc:
        fp, hits = (c / c[-1] * c[-1] if c[-1] else c for c in (fp, hits))
    with np.errstate(invalid='ignore'):
        return fp / num_items, hits / np.float64(num_lesions)


def _bootstrap(matched, wanted, levels, count, seed):
    """Return (count, l) sensitivities at the levels, each on items drawn with replacement."""
    generator = np.random.default_rng(seed)
    events, item_of_lesion = matched.events(wanted), matched.lesion_item[wanted]
    num_items = matched.num_items
    samples = np.empty((count, len(levels)))
    for sample in samples:
        drawn = generator.integers(num_items, size=num_items)
        weight = np.bincount(drawn, minlength=num_items).astype(float)
        curve = curve_of(events, num_items, weight[item_of_lesion].sum(), weight=weight)
        sample[:] = sensitivity_at(*curve, levels)
    return samples


def _interval(samples):
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


def _at_levels(fp, sensitivity, levels):
    read = sensitivity_at(fp, sensitivity, levels)
    return {
        'fp_levels': levels.tolist(),
        'sensitivity': read.tolist(),
        'mean': float(read.mean()),
    }


def _corners(fp, sensitivity, score):
    """Return the curve without repeated points and points inside straight lines.

    It draws and interpolates as the whole curve does. Its first point, (0, 0), has the best score.
    """
    score = np.append(score[:1], score)
    if not len(score):
        return {'fp': [], 'sensitivity': [], 'score': []}
    # Where duplicates leave the curve standing, only the lowest score matters.
    moves = np.append((np.diff(fp) != 0) | (np.diff(sensitivity) != 0), True)
    fp, sensitivity, score = fp[moves], sensitivity[moves], score[moves]
    still_fp, still_hit = np.diff(fp) == 0, np.diff(sensitivity) == 0
    keep = np.ones(len(fp), dtype=bool)
    keep[1:-1] = ~((still_fp[1:] & still_fp[:-1]) | (still_hit[1:] & still_hit[:-1]))
    return {
        'fp': fp[keep].tolist(),
        'sensitivity': sensitivity[keep].tolist(),
        'score': score[keep].tolist(),
    }
