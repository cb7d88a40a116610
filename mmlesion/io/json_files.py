"""JSON files: actionable read errors, atomic writes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from mmlesion.utils import UserError

from .atomic import atomic_write

NOT_JSON = (ValueError, RecursionError)  # damaged, not UTF-8, a number too long, nested too deeply
"""What reading a file that is not JSON raises where another library reads it."""


def read_json(path: str | Path, advice: str = 'write it anew') -> Any:
    """Read a JSON file.

    Args:
        path (str | Path): The file.
        advice (str): What to do about a file that is not JSON.

    Raises:
        UserError: If the file cannot be read or is not JSON.
    """
    return parse_json(read_bytes(path), path, advice)


def read_bytes(path: str | Path) -> bytes:
    """Read a file as it is, or raise :class:`UserError`."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f'{path}: {error.strerror}') from None


def parse_json(text: str | bytes, path: str | Path, advice: str = 'write it anew') -> Any:
    """Parse the content of a JSON file.

    Args:
        text (str | bytes): The content; bytes are UTF-8.
        path (str | Path): Its name, for the error message.
        advice (str): What to do about content that is not JSON.

    Raises:
        UserError: If it is not JSON.
    """
    try:
        return json.loads(text)
    except NOT_JSON as error:
        raise UserError(f'{path} is not valid JSON ({error}); {advice}') from None


def to_json(value: Any, indent: int | None = None, sort_keys: bool = False) -> str:
    """Return a value as JSON text.

    Args:
        value (Any): Of dictionaries, sequences, strings, numbers and None.
        indent (int, optional): Spaces of a level. Defaults to None, all on one line.
        sort_keys (bool): Whether dictionaries are written in the order of their keys.
    """
    return json.dumps(value, indent=indent, sort_keys=sort_keys)


def write_json(value: Any, path: str | Path, indent: int | None = None) -> None:
    """Write JSON, whole or not at all.

    What is not a finite number becomes null, since JSON has no NaN.

    Args:
        value (Any): What to write.
        path (str | Path): The file.
        indent (int, optional): Spaces of a level. Defaults to None: a dictionary has a line for
            each key, for human readers, and anything else is on one line.

    Raises:
        OutputError: If it cannot be written.
    """
    value = _without_nan(value)
    if isinstance(value, dict) and indent is None:
        lines = (f'  {to_json(key)}: {to_json(item)}' for key, item in value.items())
        text = '{\n' + ',\n'.join(lines) + '\n}'
    else:
        text = to_json(value, indent)
    with atomic_write(path) as temporary:
        temporary.write_text(text + '\n', encoding='utf-8')


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
