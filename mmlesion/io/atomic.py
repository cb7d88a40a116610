"""Atomic writing of files and folders."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmlesion.utils import OutputError


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Raise what an operating system says against writing ``path`` as :class:`OutputError`."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(error.errno, reason, str(path)) from error


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` if the block succeeds, and vanishes if not.

    The temporary file keeps the suffix of ``path`` (writers such as SimpleITK and matplotlib choose
    their format by it) and lies in the same folder, which is made, so that the rename is atomic.

    Raises:
        OutputError: If it cannot be written.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        suffix = ''.join(path.suffixes[-2:])
        handle, temporary = tempfile.mkstemp(prefix='.', suffix=suffix, dir=path.parent)
        os.close(handle)
        try:
            yield Path(temporary)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of ``path`` if the block succeeds.

    It vanishes if not. It lies in the same folder, which is made.

    Raises:
        OutputError: If it cannot be written.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f'.{path.name}-', dir=path.parent))
        try:
            yield temporary
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                shutil.rmtree(path)
            temporary.rename(path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
