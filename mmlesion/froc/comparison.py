"""Paired comparison of the FROC scores of the rows of a table, and sensitivity by patient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from .cases import Cases
from .froc import MatchedDetections


class RowScore(NamedTuple):
    """The score of a row: one configuration, trained with one or several seeds.

    The columns of each array are the FP rates and, last, the mean over these.

    Args:
        value: (l + 1,) sensitivities, averaged over the runs.
        lower: (l + 1,) lower bounds of their confidence intervals.
        upper: (l + 1,) upper bounds.
        run_means: (r,) mean sensitivity of each run.
        standard_error: Of ``value[-1]`` over the runs, NaN for a single one.
    """

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    run_means: np.ndarray
    standard_error: float


class PairedDifference(NamedTuple):
    """Difference of a row from the reference; columns as in :class:`RowScore`.

    Args:
        value: (l + 1,) differences of sensitivity.
        lower: (l + 1,) lower bounds of their confidence intervals.
        upper: (l + 1,) upper bounds.
        p: (l + 1,) two-sided p-values of no difference.
    """

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    p: np.ndarray


class Comparison(NamedTuple):
    """The rows of a table, and their differences from the reference.

    Args:
        rows: By name, in the order given.
        differences: By name of the row that is compared.
        reference: The row they are compared with.
        training_noise: Standard deviation of the mean sensitivity over seeds, pooled over
            the rows; NaN if no row has two runs.
    """

    rows: dict
    differences: dict
    reference: str
    training_noise: float


def compare_rows(
    rows: dict[str, list[Cases]],
    reference: str | None = None,
    draws: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Comparison:
    """Compare rows by a paired bootstrap over patients.

    Each draw takes patients with replacement, all cases of a patient together, and the same ones
    for every run: what makes a test set easy or hard for all rows cancels out. A row's score in a
    draw is the average over its runs. Where rows have several runs, the noise of training is added:
    its variance, pooled over the rows, divided by the row's number of runs, drawn from Student's t
    of the pooled degrees of freedom. With one run a row the intervals speak of these trained
    models, not of their training.

    Args:
        rows: The runs of each row, all on the same cases and lesions.
        reference: The row that the others are compared with. Defaults to None, the
            first.
        draws: Number of draws. Defaults to 2000.
        seed: Of the draws. Defaults to 0.
        confidence: Of the intervals. Defaults to 0.95.

    Returns:
        Comparison: Scores and differences with their intervals.
    """
    generator = np.random.default_rng(seed)
    reference = next(iter(rows)) if reference is None else reference
    read = {name: _read_runs(runs) for name, runs in rows.items()}
    drawn = _draw(rows, draws, generator)
    deviation, freedom = _training_noise(read)
    for name, samples in drawn.items():
        # The average of r runs varies less than one run, by the square root of r.
        scale = deviation / np.sqrt(len(rows[name]))
        samples += scale * generator.standard_t(max(freedom, 1), samples.shape)
    scores = {name: _row_score(read[name], drawn[name], confidence) for name in rows}
    differences = {}
    for name in rows:
        if name != reference:
            value = scores[name].value - scores[reference].value
            paired = drawn[name] - drawn[reference]
            differences[name] = _difference(value, paired, confidence)
    noise = float(deviation[-1]) if freedom else float('nan')
    return Comparison(scores, differences, reference, noise)


def _read_runs(runs: list[Cases]) -> np.ndarray:
    """Return the sensitivities (r, l + 1) of r runs on the original test set, and their means."""
    every_patient_once = np.ones(1 + runs[0].patient.max())
    return np.stack([_with_mean(run.sensitivity(every_patient_once)) for run in runs])


def _with_mean(sensitivity: np.ndarray) -> np.ndarray:
    return np.append(sensitivity, sensitivity.mean())


def _draw(
    rows: Mapping[str, Sequence[Cases]], draws: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Return each row's scores (draws, l + 1) on patients drawn with replacement."""
    first = next(iter(rows.values()))[0]
    num_patients = 1 + first.patient.max()
    even = np.full(num_patients, 1 / num_patients)
    drawn = {name: np.empty((draws, len(first.fp_rates) + 1)) for name in rows}
    for number in range(draws):
        # One draw for all rows: this is what pairs them.
        weight = generator.multinomial(num_patients, even)
        for name, runs in rows.items():
            drawn[name][number] = _average_score(runs, weight)
    return drawn


def _average_score(runs: Sequence[Cases], weight: np.ndarray) -> np.ndarray:
    """Return a row's scores (l + 1,) on weighted patients, averaged over its runs."""
    return _with_mean(np.mean([run.sensitivity(weight) for run in runs], axis=0))


def _training_noise(read: Mapping[str, np.ndarray]) -> tuple[np.ndarray, int]:
    """Return the pooled standard deviation (l + 1,) over runs, and its degrees of freedom."""
    freedom, squares = 0, 0.0
    for runs in read.values():  # (r, l + 1)
        freedom += len(runs) - 1
        squares = squares + ((runs - runs.mean(axis=0)) ** 2).sum(axis=0)
    return np.sqrt(squares / max(freedom, 1)), freedom


def _row_score(read: np.ndarray, samples: np.ndarray, confidence: float) -> RowScore:
    lower, upper = _interval(samples, confidence)
    runs = read[:, -1]
    several = len(runs) > 1
    error = runs.std(ddof=1) / np.sqrt(len(runs)) if several else float('nan')
    return RowScore(read.mean(axis=0), lower, upper, runs, float(error))


def _difference(value: np.ndarray, samples: np.ndarray, confidence: float) -> PairedDifference:
    lower, upper = _interval(samples, confidence)
    samples = samples[np.isfinite(samples).all(axis=1)]
    # Two-sided: twice the share of the draws on the rarer side of 0.
    beyond = np.minimum((samples <= 0).sum(axis=0), (samples >= 0).sum(axis=0))
    # One more draw on each side, so that no p-value is 0 for want of draws.
    p = np.minimum(2 * (beyond + 1) / (len(samples) + 1), 1)
    return PairedDifference(value, lower, upper, p)


def _interval(samples: np.ndarray, confidence: float) -> np.ndarray:
    """Return percentiles of the draws, without those that have no lesions."""
    outside = 50 * (1 - confidence)
    return np.nanpercentile(samples, [outside, 100 - outside], axis=0)


TNP_SENSITIVITY = 0.95
_ROUNDING = 1e-9


def true_negative_patients(
    matched: MatchedDetections, sensitivity: float = TNP_SENSITIVITY
) -> dict:
    """Return the share of scans without lesions that have no false positive at high sensitivity.

    3D Aggregated Faster R-CNN, section True Negative Patients: N_TNP / N_NP at the highest score
    threshold at which the sensitivity is at least 0.95. A scan is negative if it has no lesion that
    counts; detections that match ignored lesions are no false positives, as in FROC. The benchmarks
    have one scan per patient.

    Args:
        matched: The detections of all scans.
        sensitivity: The least sensitivity. Defaults to 0.95.

    Returns:
        dict: ``TNP``, NaN if there are no negative scans or the sensitivity is never that high;
        ``TNP_threshold``, the score, None if it never is; ``TNP_sensitivity``, as given.
    """
    # The first point of the curve, (0, 0), has no score: the others are those of matched.score.
    enough = matched.curve(matched.counted).sensitivity[1:] >= sensitivity - _ROUNDING
    result = dict(TNP=float('nan'), TNP_threshold=None, TNP_sensitivity=sensitivity)
    if not enough.any():
        return result
    # argmax is the first point with enough sensitivity, and with it the highest threshold
    threshold = matched.score[enough.argmax()]
    result['TNP_threshold'] = float(threshold)
    negative = np.ones(matched.num_cases, dtype=bool)
    negative[matched.lesion_case[matched.counted]] = False
    clean = np.ones(matched.num_cases, dtype=bool)
    clean[matched.fp_case[matched.score[matched.fp_point] >= threshold]] = False
    if negative.any():
        result['TNP'] = float(clean[negative].mean())
    return result
