"""Named arrays in a file (.npz): written whole or not at all, and read without pickles."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmlesion.utils import UserError

from .atomic import atomic_write

# of a missing file, an empty one, no archive, a single array, a cut off or a damaged archive
FILE_ERRORS = (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error)


def write_arrays(arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Write arrays by name, compressed.

    Raises:
        OutputError: If they cannot be written.
    """
    named: dict[str, Any] = dict(arrays)
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, **named)


def read_arrays(
    path: str | Path,
    names: Collection[str] = (),
    what: str = 'a file of arrays',
    advice: str = 'write it anew',
) -> dict[str, np.ndarray]:
    """Read arrays by name.

    Args:
        path: The file.
        names: Arrays that it must have.
        what: What the file is, for the error message.
        advice: What to do about one that cannot be used.

    Raises:
        UserError: If the file is missing, damaged or of another format, or lacks an array.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except FILE_ERRORS as error:
        raise UserError(f'{path} is not {what} ({error}): {advice}') from None
    if missing := [name for name in names if name not in arrays]:
        raise UserError(f'{path} is not {what} (it has no {", ".join(missing)}): {advice}')
    return arrays
