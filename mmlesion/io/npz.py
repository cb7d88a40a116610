"""Named arrays in a file (.npz): written whole or not at all, and read without pickles."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mmlesion.utils import UserError

from .atomic import atomic_write


def write_arrays(arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    """Write arrays by name, compressed.

    Raises:
        OutputError: If they cannot be written.
    """
    with atomic_write(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Read arrays by name.

    Raises:
        UserError: If the file is missing, damaged or of another format.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        raise UserError(f'there is no {path}') from None
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f'{path} holds no whole arrays ({error}): write it anew') from None
