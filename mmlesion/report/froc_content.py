"""The data of a FROC report: curves with bands, groups, scores and pictures of one or more runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from mmlesion.evaluation.functional import PER_IMAGE_FP_RATES, Comparison, compare_rows
from mmlesion.io.schema import path_under
from mmlesion.io.slices import read_hu
from mmlesion.structures import GroundTruth, file_shift
from mmlesion.utils import UserError
from mmlesion.visualization.windows import display_window

from .choice import choose_images, lesion_areas
from .matched_run import MatchedRun
from .pictures import encode_slice

BAND_RATES = tuple(2.0 ** np.arange(-4, 5.01, 0.5))
"""False positives per image at which the bands of the curves are computed: 1/16 to 32."""
MOST_BOXES = 30
"""Detections of a run on one picture, the highest scores."""
DIGITS = 6


def froc_content(
    runs: Sequence[MatchedRun],
    truth: GroundTruth,
    images: Sequence[dict],
    root: str | Path,
    groups: Mapping[str, np.ndarray],
    title: str,
    num: int = 24,
    draws: int = 1000,
) -> dict[str, Any]:
    """Return what the page of a FROC report shows.

    Args:
        runs (Sequence[MatchedRun]): On the same test set; the first is the reference.
        truth (GroundTruth): The test set.
        images (Sequence[dict]): Its images, as in the COCO file.
        root (str | Path): Folder of the slices.
        groups (Mapping[str, ndarray]): (m,) bool of lesions by name.
        title (str): Of the page.
        num (int): The most images per run and question, see :func:`choose_images`.
        draws (int): Bootstrap samples of patients.

    Returns:
        dict: JSON.

    Raises:
        UserError: If a slice is missing or leads out of ``root``.
    """
    area = lesion_areas(truth, images)
    # an ordered set: each image once, those of the first run first
    shown: dict[int, None] = {}
    for run in runs:
        shown.update(dict.fromkeys(choose_images(run, truth, area, num)))
    bands = _compare(runs, BAND_RATES, draws)
    has_mm = all('spacing' in image for image in images)
    return {
        'title': title,
        'images': len(truth.cases),
        'patients': len(set(map(str, truth.patients))),
        'fpRates': list(PER_IMAGE_FP_RATES),
        'bandRates': list(BAND_RATES),
        'areaUnit': 'mm²' if has_mm else 'px²',
        'draws': draws,
        'lesions': _lesions(truth, area),
        'groups': {name: np.flatnonzero(member).tolist() for name, member in groups.items()},
        'runs': [_run(run, bands) for run in runs],
        'comparison': _comparison(runs, draws),
        'pictures': _pictures(list(shown), runs, truth, images, root),
    }


def _compare(runs: Sequence[MatchedRun], fp_rates: Sequence[float], draws: int) -> Comparison:
    rows = {}
    for run in runs:
        rows[run.name] = [run.cases._replace(fp_rates=np.asarray(fp_rates))]
    return compare_rows(rows, draws=draws)


def _lesions(truth: GroundTruth, area: np.ndarray) -> dict[str, list]:
    lesions = truth.lesions
    return {
        'image': lesions.case.tolist(),
        'box': lesions.geometry.round(2).tolist(),
        'area': area.round(1).tolist(),
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
    compared = _compare(runs, PER_IMAGE_FP_RATES, draws)
    rows = []
    for name, score in compared.rows.items():
        row: dict[str, Any] = {'name': name, 'value': score.value.tolist()}
        row['interval'] = [score.lower[-1], score.upper[-1]]
        if name in compared.differences:
            one = compared.differences[name]
            row['difference'] = [one.value[-1], one.lower[-1], one.upper[-1], one.p[-1]]
        rows.append(row)
    return rows


def _pictures(
    shown: Sequence[int],
    runs: Sequence[MatchedRun],
    truth: GroundTruth,
    images: Sequence[dict],
    root: str | Path,
) -> list[dict[str, Any]]:
    return [
        {**_picture(index, images[index], root), **_boxes(index, images[index], runs, truth)}
        for index in tqdm(shown, 'pictures', leave=False)
    ]


def _picture(index: int, image: dict, root: str | Path) -> dict[str, Any]:
    path = path_under(root, image['file_name'])
    try:
        slice_hu = read_hu(path)
    except FileNotFoundError:
        raise UserError(f'{path}: no such slice; give the folder of slices as --images') from None
    height, width = slice_hu.shape
    low, high = display_window(image)
    return {
        'image': index,
        'name': image['file_name'],
        'width': width,
        'height': height,
        'window': [float(low), float(high)],
        'spacing': [float(side) for side in image.get('spacing', (1, 1))],
        'source': encode_slice(slice_hu, (low, high)),
    }


def _boxes(
    index: int, image: dict, runs: Sequence[MatchedRun], truth: GroundTruth
) -> dict[str, Any]:
    """Return boxes x1, y1, x2, y2 on a picture, where pixel n extends from n to n + 1."""
    shift = file_shift(image)
    lesions = np.flatnonzero(truth.lesions.case == index)
    detections = [_detections(index, run, shift) for run in runs]
    return {'shift': shift, 'lesions': lesions.tolist(), 'detections': detections}


def _detections(index: int, run: MatchedRun, shift: float) -> list[dict[str, Any]]:
    # in descending order of score, as the run is ranked
    here = np.flatnonzero(run.detections.case == index)[:MOST_BOXES]
    corners = (run.detections.geometry[here] + shift).round(2).tolist()
    scores = run.detections.score[here].round(DIGITS).tolist()
    columns = zip(corners, scores, run.kind[here].tolist())
    return [{'box': box, 'score': score, 'kind': kind} for box, score, kind in columns]
