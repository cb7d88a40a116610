"""Files of the cases behind a FROC curve, ``<prefix>.cases.json`` next to ``<prefix>.json``."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmlesion.froc.cases import Cases
from mmlesion.utils import UserError

from .json_files import read_json, write_json

SUFFIX = '.cases.json'
_JSON_KEYS = {
    'names': 'items',
    'patient': 'patient',
    'fp_rates': 'fp_levels',
    'fp_case': 'fp_item',
    'fp_point': 'fp_point',
    'lesion_case': 'lesion_item',
    'lesion_point': 'lesion_point',
    'as_roc': 'as_roc',
    'match_rules': 'match_rules',
}
_INDICES = ('patient', 'fp_case', 'fp_point', 'lesion_case', 'lesion_point')


def cases_path(froc_json: str | Path) -> Path:
    """Return where the cases of a FROC score lie: ``froc.cases.json`` beside ``froc.json``."""
    path = Path(froc_json)
    return path if path.name.endswith(SUFFIX) else path.with_suffix(SUFFIX)


def write_cases(cases: Cases, path: str | Path) -> None:
    """Write the cases of a FROC curve, whole or not at all.

    Args:
        cases: What :func:`~mmlesion.froc.froc_cases` returns.
        path: The file.
    """
    fields = cases._asdict()
    for name in (*_INDICES, 'fp_rates'):
        fields[name] = fields[name].tolist()
    write_json({key: fields[name] for name, key in _JSON_KEYS.items()}, path)


def read_cases(path: str | Path) -> Cases:
    """Read the cases of a FROC curve.

    Args:
        path: The file, or the FROC score (``froc.json``) that it lies beside.

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
        indices = {name: np.array(content[_JSON_KEYS[name]], dtype=int) for name in _INDICES}
        cases = Cases(
            names=list(content['items']),
            fp_rates=np.array(content['fp_levels'], dtype=float),
            as_roc=bool(content['as_roc']),
            match_rules=content.get('match_rules'),  # missing in files of earlier versions
            **indices,
        )
        _check(cases)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f'{path} is not the cases of a FROC curve ({type(error).__name__}: {error}): write it '
            'anew with test.py or eval_froc.py'
        ) from None
    return cases


def _check(cases: Cases) -> None:
    """Raise ValueError where an index points nowhere."""
    num_cases = len(cases.names)
    if cases.patient.shape != (num_cases,) or not num_cases:
        raise ValueError('each item needs its patient')
    if cases.fp_rates.ndim != 1 or not len(cases.fp_rates):
        raise ValueError('there are no levels')
    if not (np.isfinite(cases.fp_rates) & (cases.fp_rates >= 0)).all():
        raise ValueError('a level is negative or no number')
    # a lesion that is not found at any threshold has the point -1
    for case, point, first in (
        (cases.fp_case, cases.fp_point, 0),
        (cases.lesion_case, cases.lesion_point, -1),
    ):
        if case.ndim != 1 or case.shape != point.shape:
            raise ValueError('events need an item and a point each')
        if len(case) and not (0 <= case.min() and case.max() < num_cases and point.min() >= first):
            raise ValueError('an event lies in an item that is not listed')
    # An index is a patient's place in an array of counts: no larger than there are items.
    if cases.patient.min() < 0 or cases.patient.max() >= num_cases:
        raise ValueError('a patient has an index beyond the number of items')
    num_events = len(cases.fp_case) + len(cases.lesion_case)
    if max(cases.fp_point.max(initial=0), cases.lesion_point.max(initial=0)) > num_events:
        raise ValueError('a point of the curve lies beyond all events')


def check_same_cases(runs: dict) -> None:
    """Refuse to compare runs on different cases, patients, lesions or FP rates, or other rules.

    Args:
        runs: By the name of their file. What is matched is not compared where a
            file does not say it.

    Raises:
        UserError: If two differ, with their names.
    """
    first_name = next(iter(runs))
    first = runs[first_name]
    for name, cases in runs.items():
        for field in ('names', 'patient', 'fp_rates', 'lesion_case', 'as_roc', 'match_rules'):
            one, other = getattr(first, field), getattr(cases, field)
            if one is None or other is None or np.array_equal(one, other):
                continue
            raise UserError(
                f'{first_name} and {name} differ in "{_JSON_KEYS[field]}": a paired comparison '
                'needs the same test set, annotations, false positive levels and rules of matching'
            )
