"""Fast parsing of JSON lists whose records are written alike and hold nothing but numbers."""

from __future__ import annotations

import re
import warnings

import numpy as np

from mmlesion.utils import UserError

from .json_files import parse_json

_PLAIN = b'0123456789.-'  # what numbers without an exponent are made of
_EXPONENT = b'eE+'
_MARK = b'\x01'  # which JSON cannot hold
_LARGEST_WHOLE = float(2**53)  # up to which floats hold all whole numbers
_KEY = re.compile(r'[A-Za-z_]+')
_ALL_BYTES = bytes(range(256))
_COLON_AS_SPACE = _ALL_BYTES.replace(b':', b' ')


def parse_number_columns(text: bytes) -> dict[str, np.ndarray] | None:
    """Parse a list of records as columns, where all are written like the first one.

    The numbers are those that the standard library gives. Some that are not JSON's are taken too,
    such as 007 and 1.

    Args:
        text (bytes): JSON, such as ``[{"id": 1, "bbox": [0, 0, 9, 9]}, ...]``.

    Returns:
        dict[str, ndarray] | None: By key (n,) float or, of lists, (n, width). None if a record has
        another form, or a number that is not finite or is too large for a float to be exact: the
        standard library's parser is to be asked then.
    """
    text = text.strip()
    first = text[: text.find(b'}') + 1]
    widths = _widths(first + b']')
    if widths is None or _MARK in text:
        return None
    count = text.count(b'{')
    # each record has these letters as often as the first one where only its keys have them
    with_exponents = sum(text.count(b'%c' % one) for one in _EXPONENT)
    if with_exponents != count * sum(first.count(b'%c' % one) for one in _EXPONENT):
        text = _without_exponents_in_keys(text, widths)
        first = text[: text.find(b'}') + 1]
        number = _PLAIN + _EXPONENT
    else:
        number = _PLAIN
    if not _is_uniform(text, first, count, number):
        return None
    # the colon becomes space, so that a number in a key is not joined with what follows
    values = split_numbers(
        text.translate(_COLON_AS_SPACE, _ALL_BYTES.translate(None, number + b',:'))
    )
    # of a record: a number alone counts as one
    width = sum(size or 1 for size in widths.values())
    if len(values) != count * width or not (np.abs(values) < _LARGEST_WHOLE).all():
        return None
    return _split(values.reshape(count, width), widths)


def _widths(text: bytes) -> dict[str, int] | None:
    """Return by key how many numbers a record has in its list, 0 for a number alone."""
    try:
        records = parse_json(text, 'its first record')
    except UserError:
        return None
    if not (isinstance(records, list) and len(records) == 1 and isinstance(records[0], dict)):
        return None
    widths = {}
    for key, value in records[0].items():
        numbers = value if isinstance(value, list) else [value]
        if not numbers or not all(type(number) in (int, float) for number in numbers):
            return None
        if not _KEY.fullmatch(key):
            return None
        widths[key] = len(value) if isinstance(value, list) else 0
    return widths or None


def _without_exponents_in_keys(text: bytes, keys: dict[str, int]) -> bytes:
    """Replace the letters of exponents in keys, so that those left belong to numbers."""
    for key in keys:
        name = b'"%s"' % key.encode()
        text = text.replace(name, re.sub(b'[eE]', _MARK, name))
    return text


def _is_uniform(text: bytes, first: bytes, count: int, number: bytes) -> bool:
    """Return whether the text without numbers is that of the first record, over and over.

    Args:
        text (bytes): The list.
        first (bytes): Its beginning, up to the end of the first record.
        count (int): How many records it has.
        number (bytes): The characters of numbers.
    """
    between = text[len(first) : text.find(b'{', len(first))] if count > 1 else b','
    opening, _, record = first.partition(b'{')
    closing = text[text.rfind(b'}') + 1 :]
    if (opening.strip(), between.strip(), closing.strip()) != (b'[', b',', b']'):
        return False
    # what is left of a record without its numbers: quotes, keys, colons, commas and spaces
    form = b'{' + record.translate(None, number)
    records = form + (between + form) * (count - 1)
    return text.translate(None, number) == opening + records + closing


def split_numbers(text: bytes) -> np.ndarray:
    """Return the numbers (n,) of a text with commas between; none if something else is there."""
    # white space dropped, an empty place shows as two commas or one at an end
    close = text.translate(None, b' \t\r\n\x0b\x0c')
    if b',,' in close or close.startswith(b',') or close.endswith(b','):
        return np.empty(0)  # NumPy would make up a number
    with warnings.catch_warnings():
        warnings.simplefilter('error', DeprecationWarning)  # which older versions give instead
        try:
            return np.fromstring(text.decode('ascii'), sep=',')
        except (ValueError, DeprecationWarning):
            return np.empty(0)


def _split(values: np.ndarray, widths: dict[str, int]) -> dict[str, np.ndarray]:
    columns, start = {}, 0
    for key, size in widths.items():
        columns[key] = values[:, start : start + size] if size else values[:, start]
        start += size or 1
    return columns


def round_columns(values: np.ndarray, decimals: int = 6) -> np.ndarray:
    """Round each number to the float that Python's round gives, which NumPy's does not always.

    A whole number divided by a power of ten is the float that is nearest to that decimal number.
    Where it is in doubt which of two whole numbers is nearer, or they are too large to be exact,
    Python itself rounds.

    Args:
        values (ndarray): Finite numbers.
        decimals (int): Defaults to 6.
    """
    scaled = values * 10.0**decimals
    whole = np.rint(scaled)
    rounded = whole / 10.0**decimals
    in_doubt = (np.abs(scaled - whole) > 0.499) | (np.abs(scaled) > 1e11)
    rounded[in_doubt] = [round(value, decimals) for value in values[in_doubt].tolist()]
    return rounded
