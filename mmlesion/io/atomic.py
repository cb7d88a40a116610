"""Atomic writing of files and folders.

What is being written has a hidden name with the host's, and is locked. A process that is killed
leaves it there without the lock, by which :func:`remove_partial` on the same host knows it. Locks
of other hosts are not seen on every file system.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmlesion.utils import OutputError

try:
    import fcntl
except ImportError:  # on Windows, where nothing is locked, nor removed
    fcntl = None  # type: ignore[assignment]

PARTIAL = '.mmlesion-part-'
"""How the name of what is being written begins."""
_HOST = re.sub(r'\W', '_', platform.node())[:20]
_YOUNG = 0.5
"""Seconds in which what is being written may not be locked yet."""
_OLD = 24 * 3600
"""Seconds after which what another host has begun is no longer being written."""
_CLEANED: set[Path] = set()


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
    What killed processes have left in that folder is removed before this one's first file.

    Raises:
        OutputError: If it cannot be written.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # once per folder and process: a folder of many files is not listed for each of them
        if path.parent not in _CLEANED:
            _CLEANED.add(path.parent)
            remove_partial(path.parent)
        # writers choose the format by the ending, which may be a double one, as of .nii.gz
        suffix = ''.join(path.suffixes[-2:])
        prefix = f'{PARTIAL}{_HOST}-'
        handle, temporary = tempfile.mkstemp(prefix=prefix, suffix=suffix, dir=path.parent)
        try:
            _lock(handle)
            yield Path(temporary)
            # mkstemp lets the owner alone read; others get the rights that open() would have given
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            # gone if it was renamed; the lock is held until then, so that nobody else removes it
            Path(temporary).unlink(missing_ok=True)
            os.close(handle)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder that takes the place of ``path`` if the block succeeds.

    It vanishes if not. It lies in the same folder, which is made.

    Raises:
        OutputError: If it cannot be written.
    """
    path = Path(path)
    with writing(path), temporary_folder(path) as temporary:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        # a folder cannot replace another one that has content: between these lines there is none
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)


@contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """Yield a folder beside ``path``, the parent of which is made, and remove it after the block.

    What killed processes have left of the same ``path`` is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_partial(path.parent, f'{path.name}-')
    prefix = f'{PARTIAL}{_HOST}-{path.name}-'
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=path.parent))
    handle = os.open(temporary, os.O_RDONLY)
    try:
        _lock(handle)
        yield temporary
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        os.close(handle)


def remove_partial(folder: str | Path, start: str = '') -> None:
    """Remove what processes that were killed had begun to write into a folder.

    What another process still writes is left alone, and what another host has begun for a day.

    Args:
        folder: The folder; those in it are not looked into.
        start: Of the names, behind the host's. Defaults to that of all.
    """
    pattern = re.compile(rf'{re.escape(PARTIAL)}(\w*)-{re.escape(start)}')
    try:
        with os.scandir(folder) as entries:
            left = [(Path(entry.path), pattern.match(entry.name)) for entry in entries]
    except OSError:
        return
    for path, match in left:
        try:
            if match:
                _remove_unlocked(path, _YOUNG if match[1] == _HOST else _OLD)
        except OSError:  # locked, gone, or not ours to remove: it does no harm
            continue


def _remove_unlocked(path: Path, age: float) -> None:
    if fcntl is None or path.is_symlink():
        return
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        # raises BlockingIOError while the process that writes it lives
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # its process may be between making and locking it
        if time.time() - os.fstat(handle).st_mtime < age:
            return
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(handle)


def _lock(handle: int) -> None:
    """Lock what is being written, for as long as this process lives or has it open."""
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError:  # a file system without locks, where nothing can be unlocked either
        return


def _umask() -> int:
    # a process can learn its mask only by setting another one
    mask = os.umask(0)
    os.umask(mask)
    return mask
