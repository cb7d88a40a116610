"""Memory of this process: what of it goes back to the system, and when cycles are looked for."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

VARIABLES = ('MALLOC_MMAP_MAX_', 'MALLOC_MMAP_THRESHOLD_', 'MALLOC_TRIM_THRESHOLD_')
"""By which a user may have decided."""
# of glibc's malloc.h
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Keep freed memory for the next tensors of this process, unless the user has decided.

    glibc asks the system for each block above 32 MB anew and gives it back when it is freed. A
    network's feature maps on a processor are such blocks, whose pages the system clears again and
    again: a third of the processor time of a backbone on seven slices (docs/speed.md). Kept, they
    count as the process's memory until it ends, which stays about at its peak.

    Returns:
        bool: Whether it is kept now; False where the C library has no such setting (macOS, Windows,
        musl), or a variable of :data:`VARIABLES` is set.
    """
    if any(name in os.environ for name in VARIABLES):
        return False
    # no block of its own for large tensors, and the heap's end is never given back
    return _set({_MMAP_MAX: 0, _TRIM_THRESHOLD: _MOST})


def return_freed_memory() -> bool:
    """Undo :func:`keep_freed_memory`, as far as glibc can: blocks above 32 MB are given back."""
    return _set({_MMAP_MAX: 65536, _MMAP_THRESHOLD: 1 << 25, _TRIM_THRESHOLD: 1 << 26})


def trim_freed_memory() -> bool:
    """Give back what is free now, whatever is kept from now on.

    Returns:
        bool: Whether there was any; False where the C library cannot say so.
    """
    try:
        return bool(ctypes.CDLL(None).malloc_trim(0))
    except (AttributeError, OSError, TypeError):  # no such function, no such library
        return False


def _set(settings: dict[int, int]) -> bool:
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no such function, no such library
        return False
    return all(mallopt(name, value) == 1 for name, value in settings.items())


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python from looking for cycles among the many records that a block makes and keeps.

    It would look through all of them again whenever a quarter more is there.
    """
    was_enabled = gc.isenabled()
    # nothing leaks: objects without cycles are freed by their counts
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
