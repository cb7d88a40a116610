"""Groups of lesions whose sensitivity is reported apart, by any field of the annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mmlesion.io.schema import LESION_TYPES
from mmlesion.utils import UserError

MAX_VALUES = 20
"""The most different values of a field that become groups of their own."""


def group_lesions(
    attributes: Mapping[str, np.ndarray], names: Sequence[str] | str, path: str | Path
) -> dict[str, np.ndarray]:
    """Group lesions by fields of their annotations.

    Args:
        attributes: Fields of the annotations of m lesions by name, (m,)
            each; None or NaN where a lesion has no value.
        names: Fields. Each of its values becomes a group ``organ=liver``. A
            field of numbers may have cut points, ``volume_ml:1,10``: the groups are
            ``volume_ml<1``, ``1<=volume_ml<10`` and ``volume_ml>=10``. ``lesion_type`` has the
            names of DeepLesion's types, ``diameter`` is cut at 10 and 30 mm.
        path: The annotation file, for error messages.

    Returns:
        dict[str, ndarray]: Name of the group to (m,) bool, which lesions belong to it; those
        without a value belong to none.

    Raises:
        UserError: If no lesion has a field, a field has more than 20 values and no cut points, or
            cut points are not ascending numbers.
    """
    groups = {}
    for name in [names] if isinstance(names, str) else names:
        groups.update(_group_by(attributes, name, path))
    return groups


def lesion_type_groups(lesion_type: np.ndarray) -> dict[str, np.ndarray]:
    """Group lesions by DeepLesion's coarse type.

    Args:
        lesion_type: (m,) int, 1 to 8 as in DL_info.csv, -1 if unknown.

    Returns:
        dict[str, ndarray]: Name to (m,) bool, of the types that occur.
    """
    lesion_type = np.asarray(lesion_type)
    groups = {}
    for number, name in enumerate(LESION_TYPES, 1):
        member = lesion_type == number
        if member.any():
            groups[name] = member
    return groups


def diameter_groups(diameter_mm: np.ndarray) -> dict[str, np.ndarray]:
    """Group lesions by their long diameter: below 10, 10 to 30 and above 30 mm.

    Args:
        diameter_mm: (m,) float, NaN if unknown.

    Returns:
        dict[str, ndarray]: Name to (m,) bool.
    """
    diameter = np.asarray(diameter_mm, dtype=float)
    return {
        '<10 mm': diameter < 10,
        '10-30 mm': (diameter >= 10) & (diameter <= 30),
        '>30 mm': diameter > 30,
    }


def _group_by(
    attributes: Mapping[str, np.ndarray], name: str, path: str | Path
) -> dict[str, np.ndarray]:
    field, cuts = _parse(name, attributes)
    if field not in attributes:
        fields = ', '.join(sorted(attributes)) or 'none'
        raise UserError(f'{path}: no lesion has the field {field}; fields to group by: {fields}')
    values = attributes[field]
    if cuts:
        return _cut(field, values, cuts, path)
    if field == 'diameter' and not _has_text(values):
        return diameter_groups(values)
    if field == 'lesion_type' and not _has_text(values):
        _check_types(values, path)
        return lesion_type_groups(values)
    return _by_value(field, values, path)


def _check_types(values: Iterable, path: str | Path) -> None:
    known = {None, -1, *range(1, len(LESION_TYPES) + 1)}
    # NaN alone differs from itself
    if unknown := [value for value in values if value not in known and value == value]:
        raise UserError(
            f'{path}: lesion_type {unknown[0]!r:.80} is none of -1 and 1 to {len(LESION_TYPES)}: '
            'mend it'
        )


def _has_text(values: Iterable) -> bool:
    return any(isinstance(value, str) for value in values)


def _parse(name: str, attributes: Mapping[str, np.ndarray]) -> tuple[str, list[float]]:
    """Split ``field:cut,cut``; there are no cuts in a name without them."""
    # from the right, as a field's own name may have a colon
    field, colon, cuts = name.rpartition(':')
    if not colon or name in attributes:
        return name, []
    try:
        numbers = [float(cut) for cut in cuts.split(',')]
    except ValueError:
        numbers = []
    if not numbers or not (np.diff(numbers) > 0).all() or not np.isfinite(numbers).all():
        raise UserError(f'groups {name!r}: cut points are ascending numbers, as in {field}:1,10')
    return field, numbers


def _cut(
    field: str, values: np.ndarray, cuts: Sequence[float], path: str | Path
) -> dict[str, np.ndarray]:
    if _has_text(values):
        raise UserError(f'{path}: {field} has values that are no numbers: leave its cut points out')
    numbers = np.array(values, dtype=float)  # None becomes NaN, which lies in no group
    groups = {f'{field}<{cuts[0]:g}': numbers < cuts[0]}
    for low, high in zip(cuts[:-1], cuts[1:]):
        groups[f'{low:g}<={field}<{high:g}'] = (low <= numbers) & (numbers < high)
    groups[f'{field}>={cuts[-1]:g}'] = numbers >= cuts[-1]
    return groups


def _by_value(field: str, values: np.ndarray, path: str | Path) -> dict[str, np.ndarray]:
    texts = np.array(list(map(_as_text, values)), dtype=object)
    value_of = dict(zip(texts, values))
    value_of.pop(None, None)  # lesions without a value
    if len(value_of) > MAX_VALUES:
        raise UserError(
            f'{path}: {field} has {len(value_of)} different values, groups are at most '
            f'{MAX_VALUES}: {_advice(field, value_of.values())}'
        )
    # by value: as texts, 10 would come before 9
    in_order = sorted(value_of, key=lambda text: _sort_key(value_of[text]))
    return {f'{field}={text}': texts == text for text in in_order}


def _as_text(value: Any) -> str | None:
    """Return a value as text, 1.0 like 1; None for no value."""
    if value is None or value != value:  # NaN alone differs from itself
        return None
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value)


def _sort_key(value: Any) -> tuple[int, float, str]:
    """Sort numbers by value, strings after them."""
    return (1, 0.0, value) if isinstance(value, str) else (0, float(value), '')


def _advice(field: str, values: Iterable) -> str:
    if _has_text(values):
        return 'group by a field of fewer values'
    return f'give cut points, as in {field}:10,30'
