"""Checks of what files hold: fields, numbers and names, with errors that name the bad record."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmlesion.utils import UserError

from .schema import SPACING_LIMITS

_LARGEST_WHOLE = 2**53  # up to which floats hold all whole numbers


def get_column(entries: Sequence[dict], key: str, where: str) -> list:
    """Return a field of all records.

    Args:
        entries: The records.
        key: The field's name.
        where: What to call a record in the error message, before its number.

    Raises:
        UserError: If a record does not have it.
    """
    try:
        return [entry[key] for entry in entries]
    except (KeyError, TypeError):
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict) or key not in entry:
                raise UserError(f'{where} {number} (the first is 0) has no "{key}"') from None
        raise


def to_numbers(
    rows: Sequence,
    width: int | None,
    where: str,
    finite: bool = True,
    first: int = 0,
    offset: int = 0,
) -> np.ndarray:
    """Return rows of numbers as an array.

    Args:
        rows: Numbers, or with ``width`` sequences of as many.
        width: Numbers in a row.
        where: What to call a row in the error message, before its number.
        finite: Whether NaN and infinity are errors. Defaults to True.
        first: The number of the file's first row in the error message. Defaults to 0.
        offset: How many rows of the file come before these.

    Returns:
        ndarray: (n, width) or, without ``width``, (n,) float.

    Raises:
        UserError: If a row is anything else; the message names the first one.
    """
    # without a width, each row is a number and the result has one axis
    row_shape = () if width is None else (width,)
    if not len(rows):
        return np.empty((0,) + row_shape)
    try:
        values = np.asarray(rows, dtype=float)
        good = values.shape[1:] == row_shape and (not finite or np.isfinite(values).all())
    except (TypeError, ValueError, OverflowError):
        good = False
    if good:
        return values
    # the whole array was refused at once: find its first bad row for the message
    wanted = f'{width} finite numbers' if width else 'a finite number'
    number = next(n for n, row in enumerate(rows) if not _is_good(row, row_shape, finite))
    raise UserError(
        f'{where} {number + first + offset} (the first is {first}) is {rows[number]!r:.80}, not '
        f'{wanted}: mend or drop it'
    )


def _is_good(row: Any, shape: tuple[int, ...], finite: bool) -> bool:
    try:
        value = np.asarray(row, dtype=float)
    except (TypeError, ValueError, OverflowError):
        return False
    return value.shape == shape and (not finite or np.isfinite(value).all())


def to_whole_numbers(values: Sequence, where: str) -> np.ndarray:
    """Return whole numbers, such as ids of categories, as an array.

    Args:
        values: n numbers.
        where: As in :func:`to_numbers`.

    Returns:
        ndarray: (n,) int.

    Raises:
        UserError: If one is not whole, or beyond what a float holds exactly.
    """
    numbers = to_numbers(values, None, where)
    bad = (numbers != np.rint(numbers)) | (np.abs(numbers) > _LARGEST_WHOLE)
    if bad.any():
        number = int(bad.argmax())
        raise UserError(
            f'{where} {number} (the first is 0) is {values[number]!r:.80}, not a whole number: '
            'mend or drop it'
        )
    return numbers.astype(int)


def is_spacing(spacing: Any, count: int) -> bool:
    """Return whether something is ``count`` numbers of mm that voxels of a CT may lie apart."""
    if not _is_good(spacing, (count,), finite=True):
        return False
    low, high = SPACING_LIMITS
    return all(low <= step <= high for step in spacing)


def check_spacing(spacing: Any, count: int, where: str) -> None:
    """Raise :class:`UserError` unless :func:`is_spacing`; ``where`` begins the message."""
    if not is_spacing(spacing, count):
        low, high = SPACING_LIMITS
        raise UserError(
            f'{where} has the spacing {spacing!r:.80}: give {count} numbers of {low:g} to '
            f'{high:g} mm'
        )


class Found(NamedTuple):
    """Where names are in a list.

    Args:
        item: (n,) int index into the list, -1 for names that are not in it.
        missing: These names, each once.
    """

    item: np.ndarray
    missing: list


def find_names(names: Sequence, items: list, path: str | Path) -> Found:
    """Find names in a list.

    Args:
        names: n names.
        items: The listed ones.
        path: Where the names are from, for the error message.

    Returns:
        Found: Their places.

    Raises:
        UserError: If a name is a list or a dictionary.
    """
    return look_up(names, dict(zip(items, range(len(items)))), path)


def look_up(names: Sequence, index: Mapping[Any, int], path: str | Path) -> Found:
    """Find names as :func:`find_names` does, in a list whose places are known.

    Args:
        names: n names.
        index: The place of each listed one.
        path: Where the names are from, for the error message.
    """
    try:
        # index.get(name, -1) of each name, without a step of Python per name
        item = np.fromiter(map(index.get, names, repeat(-1)), dtype=int, count=len(names))
    except TypeError:
        raise UserError(f'{path}: an image_id is neither a number nor a name; mend it') from None
    # each name that is not listed once, in the order in which they come
    missing = dict.fromkeys(names[number] for number in np.flatnonzero(item < 0).tolist())
    return Found(item, list(missing))


def some_names(names: Sequence, listed: Sequence = ()) -> str:
    """Return the first three names, and how many more there are, for a message.

    Args:
        names: The names.
        listed: Names among which these were not found, such as the number 1 for the text
            '1': the message then says so.
    """
    shown = ', '.join(map(str, names[:3]))
    if len(names) > 3:
        shown += f' and {len(names) - 3} more'
    if set(map(str, names)).isdisjoint(map(str, listed)):
        return shown
    here, there = ('text', 'numbers') if isinstance(names[0], str) else ('numbers', 'text')
    return f'{shown}: {here} here, {there} there'


MAX_NAME = 200
"""Characters; file systems take names of 255 bytes."""
_NO_NAME = re.compile(r'[/\\\x00-\x1f\x7f]|^\.{0,2}$')
# what spreadsheets take for the beginning of a formula
_FORMULA = ('=', '+', '-', '@', '\t', '\r')


def is_plain_name(name: object) -> bool:
    """Return whether something is text that can name a file in any folder, and leads nowhere."""
    return isinstance(name, str) and len(name) <= MAX_NAME and not _NO_NAME.search(name)


def plain_name(name: object, where: str) -> str:
    """Return a name of an input file that an output file is to have.

    Args:
        name: The name.
        where: What has it, for the error message.

    Raises:
        UserError: If it leads to another folder, or is no name at all.
    """
    if not is_plain_name(name):
        raise UserError(
            f'{where} has the name {str(name)!a:.80}: one without slashes is needed, as files are '
            'named by it'
        )
    return str(name)


def text_cell(text: str) -> str:
    """Return text for a cell of a CSV report that a spreadsheet shows, and does not compute."""
    # a leading apostrophe makes spreadsheets show the rest as text
    return f"'{text}" if text.startswith(_FORMULA) else text


def name_cell(name: object, where: str) -> str:
    """Return a name for a cell of a CSV file that programs read, which need it unchanged.

    Args:
        name: The name.
        where: What has it, for the error message.

    Raises:
        UserError: If a spreadsheet would compute it.
    """
    if str(name).startswith(_FORMULA):
        raise UserError(
            f'{where} has the name {str(name)!a:.80}, which a spreadsheet would take for a '
            'formula: rename it'
        )
    return str(name)


def lesion_attributes(annotations: Sequence[Mapping]) -> dict[str, np.ndarray]:
    """Return the fields of annotations that hold strings or numbers.

    Args:
        annotations: Of m lesions.

    Returns:
        dict[str, ndarray]: Name to (m,) object; None where an annotation lacks the field. Fields
        that no annotation has, and those with a list or the like anywhere, are left out.
    """
    names = dict.fromkeys(chain.from_iterable(annotations))
    attributes = {}
    for name in names:
        values = [annotation.get(name) for annotation in annotations]
        if _is_attribute(values):
            attributes[name] = np.array(values, dtype=object)
    return attributes


def _is_attribute(values: Sequence) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, (str, int, float)) for value in present)
