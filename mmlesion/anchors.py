"""Anchor shapes by differential evolution (improved RetinaNet, section 2.1).

An anchor set is sizes in px, one for each level of the pyramid, scales that multiply each size, and
aspect ratios (height / width): 1 and, for each pair gamma >= 1, gamma and 1 / gamma. Sizes are
given; scales and pairs are searched. The side of a box is the square root of its area, in px.

Many sets are evaluated at once. Their first axis, P, is the population of the search.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import differential_evolution

from mmlesion.utils import UserError

RETINANET_RATIO_PAIRS = (2.0,)
RETINANET_SCALES = tuple(2 ** (octave / 3) for octave in range(3))
LEAST_IOU = 1e-7
"""Keeps the logarithm finite for a lesion that no anchor meets."""
TRIED_VALUES = 34
SAME_LOSS = 1e-6
NEAR_BOUND = 1e-3
"""Of the distance between two bounds."""
BLOCK = 1 << 15
"""Number of overlaps computed at once, so that they stay in a processor's cache."""


def _cross_entropy(iou: np.ndarray) -> np.ndarray:
    return -np.log(np.maximum(iou, LEAST_IOU))


OBJECTIVES = {
    'iou': lambda iou: 1 - iou,
    'ce': _cross_entropy,
    'focal': lambda iou: (1 - iou) ** 2 * _cross_entropy(iou),
}
"""Losses by name, functions of the best anchor's IoU whose mean over lesions is minimized."""


def anchor_ratios(ratio_pairs: Sequence[float]) -> list[float]:
    """Return the ratios (height / width) of pairs, ascending: (p,) gamma -> list of 2 p + 1."""
    pairs = sorted(float(pair) for pair in ratio_pairs)
    return [1 / pair for pair in reversed(pairs)] + [1.0] + pairs


def anchor_shapes(ratio_pairs: Sequence[float], scales: ArrayLike, sizes: ArrayLike) -> np.ndarray:
    """Return width and height in px of all anchors of a set.

    Returns:
        ndarray: (sizes, scales, ratios, 2).
    """
    sides = np.multiply.outer(np.asarray(sizes, dtype=float), np.asarray(scales, dtype=float))
    roots = np.sqrt(anchor_ratios(ratio_pairs))
    return np.stack([sides[..., None] / roots, sides[..., None] * roots], axis=-1)


class _Overlap:
    """Overlap of lesions with the best anchor of each of many sets.

    Lesions are sorted by side, so that those nearest to an anchor's side are consecutive.

    Args:
        shapes: (n, 2) width and height of lesions, px.
        sizes: (L,) anchor size of each level, px.

    Raises:
        UserError: If there are no lesions, or a shape or size is not a positive number.
    """

    def __init__(self, shapes: ArrayLike, sizes: ArrayLike) -> None:
        shapes, self.sizes = np.asarray(shapes, dtype=float), np.asarray(sizes, dtype=float)
        if not len(shapes):
            raise UserError('there are no boxes to fit anchors to')
        if not (_are_positive(shapes) and _are_positive(self.sizes) and self.sizes.size):
            raise UserError('widths and heights of boxes and anchor sizes must be positive numbers')
        sides = np.sqrt(shapes.prod(axis=1))
        self.order = np.argsort(sides, kind='stable')
        self.shapes, self.sides = shapes[self.order], sides[self.order]

    def best_iou(self, ratio_pairs: ArrayLike, scales: ArrayLike) -> np.ndarray:
        """Return the IoU of each lesion with the best anchor of one set: (p,), (s,) -> (n,)."""
        iou = np.empty(len(self.sides))
        iou[self.order] = self._best_iou(np.atleast_2d(ratio_pairs), np.atleast_2d(scales))[0]
        return iou

    def mean_loss(
        self, ratio_pairs: np.ndarray, scales: np.ndarray, loss: Callable[[np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """Return the mean over lesions of ``loss`` of the best IoU: (P, p), (P, s) -> (P,)."""
        step = max(1, BLOCK // len(self.sides))
        means = []
        for start in range(0, len(scales), step):
            block = slice(start, start + step)
            iou = self._best_iou(ratio_pairs[block], scales[block])
            means.append(loss(iou).mean(axis=1))
        return np.concatenate(means)

    def _best_iou(self, ratio_pairs: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """Return the IoU with the best anchor, lesions by side: (P, p), (P, s) -> (P, n)."""
        raise NotImplementedError

    def _anchor_sides(self, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each set's sides, ascending, and their levels: (P, s) -> two of (P, L s)."""
        # by level, then by scale: anchor k of a set is of level k // s
        sides = (self.sizes[:, None] * scales[:, None, :]).reshape(len(scales), -1)
        order = np.argsort(sides, axis=1)
        return np.take_along_axis(sides, order, axis=1), order // scales.shape[1]

    def _nearest(self, anchor_sides: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the value of the anchor with the nearest log side: two of (P, k) -> (P, n)."""
        num_sets, num_sides = anchor_sides.shape
        # lesions cuts[k] to cuts[k + 1] of a set, by side, are nearest to its anchor k: the border
        # between two anchors is the geometric mean of their sides
        cuts = np.empty((num_sets, num_sides + 1), dtype=int)
        cuts[:, 0], cuts[:, -1] = 0, len(self.sides)
        between = np.sqrt(anchor_sides[:, 1:] * anchor_sides[:, :-1])
        cuts[:, 1:-1] = np.searchsorted(self.sides, between)
        return np.repeat(values.ravel(), np.diff(cuts).ravel()).reshape(num_sets, -1)


class AlignedOverlap(_Overlap):
    """Overlap of lesions with the best anchor, with aligned centers.

    Let x >= 1 be the factor between the sides of anchor and lesion and y^2 >= 1 that between their
    aspect ratios. Then IoU = 1 / max(x^2, (x + 1 / x) y - 1), which decreases in x and in y. So the
    best anchor is the one with the nearest side and the nearest ratio: one IoU for each lesion. A
    set contains the reciprocal of each ratio, so that all lesions may be treated as wide ones.

    Args:
        shapes: (n, 2) width and height of lesions, px.
        sizes: (L,) anchor size of each level, px.

    Raises:
        UserError: If there are no lesions, or a shape or size is not a positive number.
    """

    def __init__(self, shapes: ArrayLike, sizes: ArrayLike) -> None:
        super().__init__(shapes, sizes)
        self.elongation = np.sqrt(self.shapes.max(axis=1) / self.shapes.min(axis=1))

    def _best_iou(self, ratio_pairs: np.ndarray, scales: np.ndarray) -> np.ndarray:
        anchor_sides, _ = self._anchor_sides(scales)
        # (P, n) factor between the sides of each lesion's nearest anchor and its own
        side = self._nearest(anchor_sides, anchor_sides) / self.sides
        inverse = 1 / side
        stretch = self.elongation
        for root in np.sqrt(ratio_pairs).T[..., None]:
            factor = np.maximum(self.elongation / root, root / self.elongation)
            stretch = np.minimum(stretch, factor)
        nested = np.maximum(side, inverse) ** 2
        return 1 / np.maximum(nested, (side + inverse) * stretch - 1)


class GridOverlap(_Overlap):
    """Overlap of lesions with the best anchor among the real positions of all anchors.

    Anchors of a level are centered at the multiples of its stride inside the image, as mmdet's
    ``AnchorGenerator`` puts them; the best one of a shape is the one nearest to the lesion. An IoU
    is at most that with aligned centers, and so at most the ratio of the areas: sides are tried
    from the nearest one outwards until no other can be better.

    Args:
        corners: (n, 4) lesions x1, y1, x2, y2, px.
        extents: (n, 2) width and height of each lesion's image, px.
        sizes: (L,) anchor size of each level, px.
        strides: (L,) stride of each level, px.
        first: Center of a level's first anchor, in strides: 0, or SSD's 0.5.

    Raises:
        UserError: As :class:`AlignedOverlap` does, and if sizes and strides differ in number.
    """

    def __init__(
        self,
        corners: ArrayLike,
        extents: ArrayLike,
        sizes: ArrayLike,
        strides: ArrayLike,
        first: float = 0.0,
    ) -> None:
        corners, strides = np.asarray(corners, dtype=float), np.asarray(strides, dtype=float)
        super().__init__(corners[:, 2:] - corners[:, :2], sizes)
        if strides.shape != self.sizes.shape or not _are_positive(strides):
            raise UserError(f'{len(self.sizes)} anchor sizes need as many strides, all positive')
        # (n, 1, 2) centers in px, and (n, L, 2) the last and the nearest anchor of each level, in
        # strides from the image's corner
        centers = (corners[:, :2] + corners[:, 2:])[self.order, None] / 2
        last = np.ceil(np.asarray(extents)[self.order, None] / strides[:, None]) - 1
        nearest = np.clip(np.round(centers / strides[:, None] - first), 0, last) + first
        # (n, L, 2) px between a lesion's center and that anchor's
        self.offsets = np.abs(centers - nearest * strides[:, None])

    def _best_iou(self, ratio_pairs: np.ndarray, scales: np.ndarray) -> np.ndarray:
        anchor_sides, levels = self._anchor_sides(scales)
        num_sets, num_sides = anchor_sides.shape
        # (P, R) square roots of all ratios of each set
        roots = np.sqrt(np.hstack([np.ones_like(scales[:, :1]), ratio_pairs, 1 / ratio_pairs]))
        numbers = np.broadcast_to(np.arange(num_sides), anchor_sides.shape)
        nearest = self._nearest(anchor_sides, numbers).ravel()
        # one entry for each pair of a set and a lesion, the lesions of a set in a row
        sets, lesions = np.divmod(np.arange(nearest.size), len(self.sides))
        best = self._iou(anchor_sides[sets, nearest], levels[sets, nearest], roots[sets], lesions)
        for direction in (-1, 1):
            pair, side = np.arange(nearest.size), nearest
            while pair.size:
                side = side + direction
                inside = (side >= 0) & (side < num_sides)
                pair, side = pair[inside], side[inside]
                length = anchor_sides[sets[pair], side]
                factor = length / self.sides[lesions[pair]]
                # kept are the pairs whose next anchor may be better than the best so far
                promising = np.minimum(factor, 1 / factor) ** 2 > best[pair]
                pair, side, length = pair[promising], side[promising], length[promising]
                level = levels[sets[pair], side]
                iou = self._iou(length, level, roots[sets[pair]], lesions[pair])
                best[pair] = np.maximum(best[pair], iou)
        return best.reshape(num_sets, -1)

    def _iou(
        self, sides: np.ndarray, levels: np.ndarray, roots: np.ndarray, lesions: np.ndarray
    ) -> np.ndarray:
        """Return the best IoU over R ratios of m anchors with lesions: (m,), (m,), (m, R), (m,)."""
        width, height = self.shapes[lesions].T
        dx, dy = self.offsets[lesions, levels].T
        roots = np.ascontiguousarray(roots.T)
        # (R, m) px of each ratio's anchor that lie in the lesion, along x and along y
        shared_x = _shared_length(width, sides / roots, dx)
        shared_y = _shared_length(height, sides * roots, dy)
        shared = (shared_x * shared_y).max(axis=0)
        return shared / (width * height + sides**2 - shared)


def _shared_length(first: np.ndarray, second: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return the overlap of two intervals whose centers are ``offset`` apart."""
    apart = (first + second) / 2 - offset
    return np.maximum(np.minimum(np.minimum(first, second), apart), 0)


class AnchorSearch(NamedTuple):
    """Result of :func:`search_anchors`.

    Args:
        ratio_pairs: gamma of each pair, ascending.
        scales: Scales, ascending.
        num_evaluations: Number of anchor sets evaluated in the search.
        seconds: Wall time of the search.
        converged: Whether the population converged before ``maxiter``.
        doubts: Scales and pairs on their bounds, or which the lesions do not decide.
    """

    ratio_pairs: list
    scales: list
    num_evaluations: int
    seconds: float
    converged: bool
    doubts: list


def search_anchors(
    overlap: _Overlap,
    ratio_bounds: Sequence[Sequence[float]] = ((1, 2), (2, 4)),
    scale_bounds: Sequence[Sequence[float]] = ((0.4, 1.6),) * 3,
    objective: str = 'iou',
    seed: int = 0,
    popsize: int = 30,
    maxiter: int = 1000,
    callback: Callable[..., Any] | None = None,
) -> AnchorSearch:
    """Search ratio pairs and scales by SciPy's differential evolution.

    The population is twice SciPy's default, so that a search takes no fewer evaluations than
    SciPy's own, one set at a time, would; what is not named here is SciPy's default.

    Args:
        overlap: The lesions and anchor sizes.
        ratio_bounds: (p, 2) minimum and maximum gamma >= 1 of each ratio pair.
        scale_bounds: (s, 2) minimum and maximum of each scale.
        objective: One of :data:`OBJECTIVES`.
        seed: Random seed.
        popsize: Members of the population for each of the p + s variables.
        maxiter: Largest number of generations.
        callback: SciPy's, called after each generation.

    Returns:
        AnchorSearch: The best set found.

    Raises:
        UserError: If a bound or the objective cannot be used.
    """
    bounds = _checked_bounds(ratio_bounds, 1, 'ratio')
    num_pairs = len(bounds)
    bounds += _checked_bounds(scale_bounds, np.finfo(float).tiny, 'scale')
    if len(bounds) == num_pairs:
        raise UserError('there must be at least one scale')
    if objective not in OBJECTIVES:
        raise UserError(f'objective {objective!r} is none of {", ".join(OBJECTIVES)}')
    loss, num_evaluations = OBJECTIVES[objective], 0

    def evaluate(variables: np.ndarray) -> np.ndarray:
        # One set (p + s,) while SciPy polishes the best, else a population (p + s, P). SciPy's own
        # count is one for a whole population.
        nonlocal num_evaluations
        sets = variables.reshape(len(bounds), -1).T
        num_evaluations += len(sets)
        losses = overlap.mean_loss(sets[:, :num_pairs], sets[:, num_pairs:], loss)
        return losses if variables.ndim > 1 else losses[0]

    start = time.perf_counter()
    result = differential_evolution(
        evaluate,
        bounds,
        popsize=popsize,
        maxiter=maxiter,
        seed=np.random.default_rng(seed),
        callback=callback,
        updating='deferred',
        vectorized=True,
    )
    seconds, count = time.perf_counter() - start, num_evaluations
    names = ['ratio pair'] * num_pairs + ['scale'] * (len(bounds) - num_pairs)
    doubts = _doubts(result.x, bounds, names, lambda sets: evaluate(sets.T))
    pairs, scales = sorted(result.x[:num_pairs].tolist()), sorted(result.x[num_pairs:].tolist())
    return AnchorSearch(pairs, scales, count, seconds, bool(result.success), doubts)


def _doubts(
    best: np.ndarray,
    bounds: Sequence[tuple[float, float]],
    names: Sequence[str],
    evaluate: Callable[[np.ndarray], np.ndarray],
) -> list[str]:
    """Report values on their bound, and values that no lesion depends on.

    The best set is a minimum: a variable that it depends on makes others worse somewhere.

    Args:
        best: (v,) the best set's variables.
        bounds: Minimum and maximum of each.
        names: Name of each.
        evaluate: Takes sets (m, v); returns their losses (m,).

    Returns:
        list[str]: A sentence for each doubt.
    """
    doubts = []
    for number, (name, (low, high)) in enumerate(zip(names, bounds)):
        if low == high:
            continue
        value = best[number]
        sets = np.repeat(best[None], TRIED_VALUES, axis=0)
        sets[1:, number] = np.linspace(low, high, TRIED_VALUES - 1)
        if np.ptp(evaluate(sets)) <= SAME_LOSS:
            doubts.append(
                f'the boxes do not decide the {name} of {value:.4g}, which may as well be any from '
                f'{low:g} to {high:g}: ask for fewer, or give more boxes or other bounds'
            )
        elif min(value - low, high - value) <= NEAR_BOUND * (high - low):
            # a pair of 1 is square already: its bound cannot be lower
            if not (name == 'ratio pair' and low == 1 and value - low < high - value):
                doubts.append(
                    f'the {name} of {value:.4g} is on its bound ({low:g} to {high:g}): wider '
                    'bounds may fit better'
                )
    return doubts


def _checked_bounds(
    bounds: Sequence[Sequence[float]], least: float, name: str
) -> list[tuple[float, float]]:
    checked = [(float(low), float(high)) for low, high in bounds]
    for low, high in checked:
        if not least <= low <= high < np.inf:
            at_least = 'at least 1' if least == 1 else 'above 0'
            raise UserError(
                f'{name} bounds {low:g} to {high:g} cannot be used: the lower one comes first and '
                f'must be {at_least}'
            )
    return checked


def _are_positive(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values > 0).all())
