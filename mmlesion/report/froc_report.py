"""The FROC report of one or more runs: from their detections to the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mmlesion.froc import Comparison, Protocol, compare_rows
from mmlesion.structures import Detections, GroundTruth, Lesions

from .matched_run import MatchedRun, match_run
from .page import write_page
from .shown_test_set import DIGITS, Scans, Slices


def write_froc_report(
    runs: Mapping[str, Detections],
    truth: GroundTruth,
    protocol: Protocol,
    test_set: Slices | Scans,
    groups: Mapping[str, np.ndarray],
    path: str | Path,
    title: str,
    draws: int = 1000,
) -> dict[str, Any]:
    """Match the detections of runs on a test set, and write their page.

    Args:
        runs: By name; the first is the reference.
        truth: The lesions, of which some count.
        protocol: The rules.
        test_set: What is shown of it.
        groups: (m,) bool of lesions by name.
        path: The HTML file.
        title: Of the page.
        draws: Bootstrap samples of patients.

    Returns:
        dict: What the page shows.

    Raises:
        UserError: If a slice is missing or leads out of its folder.
    """
    matched = [match_run(name, found, truth, protocol) for name, found in runs.items()]
    page = froc_content(matched, truth, test_set, groups, title, draws)
    write_page('froc', page, path)
    return page


BAND_RATES = tuple(2.0 ** np.arange(-4, 5.01, 0.5))
"""False positives per image or scan at which the bands of the curves are computed: 1/16 to 32."""


def froc_content(
    runs: Sequence[MatchedRun],
    truth: GroundTruth,
    test_set: Slices | Scans,
    groups: Mapping[str, np.ndarray],
    title: str,
    draws: int = 1000,
) -> dict[str, Any]:
    """Return what the page of a FROC report shows.

    Args:
        runs: On the same test set; the first is the reference.
        truth: The test set.
        test_set: What is shown of it.
        groups: (m,) bool of lesions by name.
        title: Of the page.
        draws: Bootstrap samples of patients.

    Returns:
        dict: JSON.

    Raises:
        UserError: If a slice is missing or leads out of its folder.
    """
    shown = test_set.content(runs, truth)
    bands = _compare(runs, BAND_RATES, draws)
    return {
        'title': title,
        'cases': len(truth.cases),
        'patients': len(set(map(str, truth.patients))),
        'fpRates': list(runs[0].cases.fp_rates),
        'bandRates': list(BAND_RATES),
        'draws': draws,
        'lesions': _lesions(truth.lesions),
        'groups': {name: np.flatnonzero(member).tolist() for name, member in groups.items()},
        'runs': [_run(run, bands) for run in runs],
        'comparison': _comparison(runs, draws),
        **shown,
    }


def _compare(runs: Sequence[MatchedRun], fp_rates: ArrayLike, draws: int) -> Comparison:
    rows = {}
    for run in runs:
        rows[run.name] = [run.cases._replace(fp_rates=np.asarray(fp_rates))]
    return compare_rows(rows, draws=draws)


def _lesions(lesions: Lesions) -> dict[str, list]:
    return {
        'image': lesions.case.tolist(),
        'box': lesions.geometry.round(2).tolist(),
        'ignored': lesions.ignore.tolist(),
    }


def _run(run: MatchedRun, bands: Comparison) -> dict[str, Any]:
    """Return the scores from which the page counts, at any threshold, and the band."""
    band = bands.rows[run.name]
    kinds = {}
    for number, name in enumerate(('neutral', 'tp', 'fp')):
        kinds[name] = run.detections.score[run.kind == number].round(DIGITS).tolist()
    return {
        'name': run.name,
        'scores': kinds,
        'foundScore': run.found_score.round(DIGITS).tolist(),
        'overlap': run.found_overlap.round(3).tolist(),
        # the last column is the mean over the rates, which a curve has no place for
        'band': {'lower': band.lower[:-1].tolist(), 'upper': band.upper[:-1].tolist()},
    }


def _comparison(runs: Sequence[MatchedRun], draws: int) -> list[dict[str, Any]]:
    """Return each run's sensitivity at the FP rates and its mean, compared with the first run."""
    compared = _compare(runs, runs[0].cases.fp_rates, draws)
    rows = []
    for name, score in compared.rows.items():
        row: dict[str, Any] = {'name': name, 'value': score.value.tolist()}
        row['interval'] = [score.lower[-1], score.upper[-1]]
        if name in compared.differences:
            one = compared.differences[name]
            row['difference'] = [one.value[-1], one.lower[-1], one.upper[-1], one.p[-1]]
        rows.append(row)
    return rows
