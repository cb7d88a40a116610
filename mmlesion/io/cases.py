"""Files of the cases behind a FROC curve, ``<prefix>.cases.json`` next to ``<prefix>.json``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmlesion.evaluation.functional.cases import Cases
from mmlesion.utils import UserError

from .json_files import read_json, write_json

SUFFIX = '.cases.json'
_ARRAYS = ('patient', 'fp_item', 'fp_point', 'lesion_item', 'lesion_point')


def cases_path(froc_json) -> Path:
    """Return where the cases of a FROC score lie: ``froc.cases.json`` beside ``froc.json``."""
    path = Path(froc_json)
    return path if path.name.endswith(SUFFIX) else path.with_suffix(SUFFIX)


def write_cases(cases: Cases, path) -> None:
    """Write the cases of a FROC curve, whole or not at all.

    Args:
        cases (Cases): What :func:`~mmlesion.evaluation.functional.froc_cases` returns.
        path (str | Path): The file.
    """
    content = cases._asdict()
    for name in (*_ARRAYS, 'fp_levels'):
        content[name] = content[name].tolist()
    write_json(content, path)


def read_cases(path) -> Cases:
    """Read the cases of a FROC curve.

    Args:
        path (str | Path): The file, or the FROC score (``froc.json``) that it lies beside.

    Returns:
        Cases: They have been checked.

    Raises:
        UserError: If there is no such file, or it is not of this kind.
    """
    path = cases_path(path)
    if not path.is_file():
        raise UserError(
            f'{path} does not exist: test again with outfile_prefix, or run eval_froc.py again; '
            'both write it beside froc.json'
        )
    content = read_json(path)
    try:
        columns = {name: np.array(content[name], dtype=int) for name in _ARRAYS}
        levels = np.array(content['fp_levels'], dtype=float)
        cases = Cases(
            items=list(content['items']),
            fp_levels=levels,
            as_roc=bool(content['as_roc']),
            **columns,
        )
        _check(cases)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f'{path} is not the cases of a FROC curve ({type(error).__name__}: {error}): write it '
            'anew with test.py or eval_froc.py'
        ) from None
    return cases


def _check(cases):
    """Raise ValueError where an index points nowhere."""
    num_items = len(cases.items)
    if cases.patient.shape != (num_items,) or not num_items:
        raise ValueError('each item needs its patient')
    if cases.fp_levels.ndim != 1 or not len(cases.fp_levels):
        raise ValueError('there are no levels')
    for item, point, first in (
        (cases.fp_item, cases.fp_point, 0),
        (cases.lesion_item, cases.lesion_point, -1),
    ):
        if item.ndim != 1 or item.shape != point.shape:
            raise ValueError('events need an item and a point each')
        if len(item) and not (0 <= item.min() and item.max() < num_items and point.min() >= first):
            raise ValueError('an event lies in an item that is not listed')
    # An index is a patient's place in an array of counts: no larger than there are items.
    if cases.patient.min() < 0 or cases.patient.max() >= num_items:
        raise ValueError('a patient has an index beyond the number of items')
    num_events = len(cases.fp_item) + len(cases.lesion_item)
    if max(cases.fp_point.max(initial=0), cases.lesion_point.max(initial=0)) > num_events:
        raise ValueError('a point of the curve lies beyond all events')


def check_same_cases(runs: dict) -> None:
    """Reject the comparison of runs with different items, patients, lesions or levels.

    Args:
        runs (dict[str, Cases]): By the name of their file.

    Raises:
        UserError: If two differ, with their names.
    """
    (first_name, first), *others = runs.items()
    for name, cases in others:
        for field in ('items', 'patient', 'fp_levels', 'lesion_item'):
            if not np.array_equal(getattr(first, field), getattr(cases, field)):
                raise UserError(
                    f'{first_name} and {name} differ in "{field}": a paired comparison needs the '
                    'same test set, annotations and false positive levels'
                )
