"""JSON files: actionable read errors, atomic writes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mmlesion.utils import UserError

from .atomic import atomic_write

Record = TypeVar('Record')

_BLOCK = 1 << 24  # bytes of a list that are parsed at once
_PART = 10_000  # elements of a list that are written at once
_TAIL = 1 << 16  # bytes at a block's end in which a record must end
_BETWEEN = re.compile(rb'\}\s*,\s*\{')
NOT_JSON = (ValueError, RecursionError)  # damaged, not UTF-8, a number too long, nested too deeply
"""What reading a file that is not JSON raises where another library reads it."""


def read_json(path: str | Path, advice: str = 'write it anew') -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        advice: What to do about a file that is not JSON.

    Raises:
        UserError: If the file cannot be read or is not JSON.
    """
    return parse_json(read_bytes(path), path, advice)


def read_bytes(path: str | Path, most: int = -1) -> bytes:
    """Read a file as it is, of its beginning at most so many bytes, or raise :class:`UserError`."""
    try:
        with open(path, 'rb') as file:
            return file.read(most)
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from None


def parse_json(text: str | bytes, path: str | Path, advice: str = 'write it anew') -> Any:
    """Parse the content of a JSON file.

    Args:
        text: The content; bytes are UTF-8.
        path: Its name, for the error message.
        advice: What to do about content that is not JSON.

    Raises:
        UserError: If it is not JSON.
    """
    try:
        return json.loads(text)
    except NOT_JSON as error:
        raise UserError(f'{path} is not valid JSON ({error}); {advice}') from None


def read_json_list(path: str | Path, kind: type[Record], what: str) -> Iterator[list[Record]]:
    """Read a list of records some at a time, so that only those are in memory as Python's objects.

    Args:
        path: The file.
        kind: Such as a ``msgspec.Struct``: decoding a record checks it.
        what: What a record is, for error messages, such as 'result'.

    Yields:
        list: The next records, of about 16 MiB of text.

    Raises:
        UserError: If the file cannot be read, is not JSON, or is not a list of such records.
    """
    decoder = msgspec.json.Decoder(list[kind])  # type: ignore[valid-type]
    count = 0
    for piece in _split_list(path):
        try:
            records = decoder.decode(piece)
        except msgspec.ValidationError as error:
            raise UserError(f'{path}{_bad_record(error, what, count)}') from None
        except NOT_JSON:
            break  # cut inside of a record, or not JSON
        yield records
        count += len(records)
    else:
        return
    # A piece that is a list on its own ends where a record does, so what was yielded is right. The
    # standard library takes more of what is not JSON, such as NaN.
    yield to_records(read_json(path), kind, what, path)[count:]


def to_records(values: Any, kind: type[Record], what: str, path: str | Path) -> list[Record]:
    """Convert a list of what JSON has to records, which checks it; see :func:`read_json_list`."""
    try:
        return msgspec.convert(values, list[kind])  # type: ignore[valid-type]
    except msgspec.ValidationError as error:
        raise UserError(f'{path}{_bad_record(error, what, 0)}') from None


def check_content(content: Any, kind: type[msgspec.Struct], path: str | Path) -> None:
    """Check the content of a JSON file whose records are in named lists, as COCO's are.

    Args:
        content: As :func:`read_json` returns it. Fields that ``kind`` does not have are left alone.
        kind: A ``msgspec.Struct`` of lists of records.
        path: The file's name, for the error message.

    Raises:
        UserError: If it is anything else; the message names the record and the field.
    """
    try:
        msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(' - at `$')
        if found := re.match(r'\.(\w+)s\[(\d+)\]\.?(.*)`', place):
            name, number, field = found.groups()
            field = field and f', "{field}"'
            raise UserError(
                f'{path}: {name} {number} (the first is 0){field}: {message}; mend or drop it'
            ) from None
        fields = msgspec.structs.fields(kind)
        lists = ' and '.join(f'"{field.name}"' for field in fields)
        where = place and f', "{place[1:-1]}"'
        raise UserError(f'{path} needs lists {lists}{where}: {message}') from None


def _bad_record(error: Exception, what: str, before: int) -> str:
    """Return msgspec's message with the record's number in the file, ``before`` come before it."""
    message, _, place = str(error).partition(' - at `$')
    if not (found := re.match(r'\[(\d+)\]\.?(.*)`', place)):
        if message.startswith('Expected'):
            return f' must be a list of {what}s: {message}'
        return f' is not valid JSON ({message})'
    field = found[2] and f', {found[2]}'
    number = int(found[1]) + before
    return f': {what} {number} (the first is 0){field}: {message}; mend or drop it'


def _split_list(path: str | Path) -> Iterator[bytes]:
    """Cut the text of a list of objects into the texts of shorter lists, at a guess."""
    rest, opening = b'', b''
    try:
        with open(path, 'rb') as file:
            while block := file.read(_BLOCK):
                rest += block
                # the last end of a record is all that is needed: the tail is searched alone
                ends = list(_BETWEEN.finditer(rest, max(0, len(rest) - _TAIL)))
                if len(block) < _BLOCK or not ends:
                    continue
                cut = ends[-1]
                # up to the brace before the comma; the next piece begins with the brace after it
                yield opening + rest[: cut.start() + 1] + b']'
                rest, opening = rest[cut.end() - 1 :], b'['
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from None
    yield opening + rest


def to_json(value: Any, indent: int | None = None, sort_keys: bool = False) -> str:
    """Return a value as JSON text.

    Args:
        value: Of dictionaries, sequences, strings, numbers and None.
        indent: Spaces of a level. Defaults to None, all on one line.
        sort_keys: Whether dictionaries are written in the order of their keys.
    """
    return json.dumps(value, indent=indent, sort_keys=sort_keys)


def write_json(value: Any, path: str | Path, indent: int | None = None) -> None:
    """Write JSON, whole or not at all.

    What is not a finite number becomes null, since JSON has no NaN.

    Args:
        value: What to write. In place of a list that is the whole, or a value of the whole,
            there may be a sequence whose records are made when they are asked for.
        path: The file.
        indent: Spaces of a level. Defaults to None: a dictionary has a line for
            each key, for human readers, and anything else is on one line.

    Raises:
        OutputError: If it cannot be written.
    """
    with atomic_write(path) as temporary:
        write_json_text(value, temporary, indent)


def write_json_text(value: Any, path: Path, indent: int | None = None) -> None:
    """Write JSON as :func:`write_json` does, part by part into ``path`` itself."""
    if isinstance(value, dict) and indent is None:
        parts = _encode_lines(value)
    else:
        parts = _encode(value, indent)
    with path.open('w', encoding='utf-8') as file:
        file.writelines(parts)
        file.write('\n')


def _encode_lines(value: dict) -> Iterator[str]:
    """Yield the JSON text of a dictionary with a line for each key."""
    yield '{\n'
    for number, (key, item) in enumerate(value.items()):
        yield ',\n' if number else ''
        yield f'  {to_json(key)}: '
        yield from _encode(item)
    yield '\n}'


def _encode(value: Any, indent: int | None = None) -> Iterator[str]:
    """Yield the JSON text of a value; that of a long list in parts."""
    records = isinstance(value, Sequence) and not isinstance(value, (str, tuple))
    if not records or len(value) <= _PART or indent is not None:
        yield _dumps(list(value) if records else value, indent)
        return
    for start in range(0, len(value), _PART):
        yield '[' if start == 0 else ', '
        # the items alone: the brackets of the whole list are added around the parts
        yield _dumps(list(value[start : start + _PART]))[1:-1]
    yield ']'


def _dumps(value: Any, indent: int | None = None) -> str:
    try:
        return json.dumps(value, indent=indent, allow_nan=False)
    except ValueError:
        # rarely: the usual value without NaN is not copied
        return to_json(_without_nan(value), indent)


def compact_json(value: Any) -> str:
    """Return JSON without spaces, ASCII alone; what is not a finite number becomes null."""
    return json.dumps(_without_nan(value), separators=(',', ':'), allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
