"""Pooled evaluation of LUNA16's ten folds."""

from pathlib import Path

import numpy as np

from mmlesion.io.checks import some_names
from mmlesion.io.luna16 import MARK_COLUMNS, read_luna16_predictions, read_series_table
from mmlesion.structures import Detections, Predictions
from mmlesion.utils import UserError

LUNA16_SCANS = 888
"""The scans of LUNA16."""


def pool_luna16_predictions(paths: list, cases: list) -> Predictions:
    """Read the LUNA16 submissions of the folds of cross-validation as one.

    Args:
        paths: CSV files, each with a header of its own.
        cases: Series of the ground truth.

    Returns:
        Predictions: Of all files.

    Raises:
        UserError: If a scan is in two files: folds test each scan once.
    """
    file_of: dict[str, str | Path] = {}
    detections, unknown, num_unknown = [], [], 0
    for path in paths:
        part = read_luna16_predictions(path, cases)
        # a scan in two files would have its marks counted twice
        listed = [cases[case] for case in np.unique(part.detections.case)]
        _note_scans(file_of, listed + part.unknown_cases, path)
        detections.append(part.detections)
        unknown += part.unknown_cases
        num_unknown += part.num_unknown
    return Predictions(Detections.concat(detections), unknown, num_unknown)


def _note_scans(file_of: dict[str, str | Path], scans: list[str], path: str | Path) -> None:
    """Record the file of each scan, or raise an error for a scan that has one already."""
    for scan in sorted(scans):
        if scan in file_of:
            raise UserError(
                f'{scan} has marks in {file_of[scan]} and in {path}: give the file of each '
                'fold once, each of the model that was not trained on it'
            )
        file_of[scan] = path


def luna16_scan_warnings(annotations: str, items: list) -> list:
    """Return warnings if not all of LUNA16's scans are evaluated.

    Args:
        annotations: ``annotations.csv``.
        items: The series that are evaluated.

    Returns:
        list[str]: A line for each, none if all is well.
    """
    lines = []
    names, _ = read_series_table(annotations, (*MARK_COLUMNS, 'diameter_mm'))
    listed = set(items)
    if left_out := [name for name in names if name not in listed]:
        scans = list(dict.fromkeys(left_out))
        lines.append(
            f'{len(left_out)} of the {len(names)} nodules of {annotations} are left out, as their '
            f'scans ({some_names(scans)}) are not in the list of series; the converter reports '
            'which it skipped'
        )
    if len(items) != LUNA16_SCANS:
        lines.append(
            f'{len(items)} scans are evaluated, LUNA16 has {LUNA16_SCANS}: the result cannot be '
            'compared with published ones'
        )
    return lines
