"""Processes of a run: how one leaves the others, and the memory that they keep."""

from __future__ import annotations

import ctypes
import gc
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Callable

RESUME = 'What is saved is kept: run the same command again'
FOLLOW = 'MMLESION_END_WITH_PARENT'
"""Environment variable by which a tool that starts others has them end with it."""

# what torch's loader, gloo and NCCL say
_LOADER = re.compile(r'DataLoader worker \(pid.*(killed by signal|exited unexpectedly)', re.DOTALL)
_PEER = re.compile(
    r'Connection (closed|reset) by (remote )?peer|Broken pipe|remote process exited'
    r'|Read error|failed to recv'
)


def lost_process(error: Exception, again: str = RESUME) -> str | None:
    """Return a line about an error that comes from a process that is gone.

    Args:
        error: Any error.
        again: What a second run does.

    Returns:
        str | None: None if the error has another cause.
    """
    if not isinstance(error, RuntimeError):
        return None
    text = str(error)
    if _LOADER.search(text):
        return (
            f"a data loader's worker process was killed, possibly for lack of memory. {again}, "
            'with fewer workers (num_workers=0 needs least)'
        )
    if _PEER.search(text):
        return f'another process of this run ended. {again}'
    return None


def end_with_parent(patience: float = 10, interval: float = 0.5) -> None:
    """End this process with the one that started it, if it is one of several of a run.

    A launcher that is killed cannot end its processes. One that waits for another in C++ does not
    handle SIGTERM either, and is killed.

    Args:
        patience: Seconds between the signal and that.
        interval: Seconds between two looks.
    """
    if FOLLOW in os.environ or 'TORCHELASTIC_RUN_ID' in os.environ:
        wait = partial(_wait_for_parent, os.getppid(), interval)
        threading.Thread(target=end_after, args=(wait, patience), daemon=True).start()


def _wait_for_parent(parent: int, interval: float) -> None:
    # a process whose parent has ended gets another one
    while os.getppid() == parent:
        time.sleep(interval)


def end_after(wait: Callable[[], object], patience: float) -> None:
    """End this process when the one that it waits for, in a thread of its own, has ended.

    Args:
        wait: Returns when the other process has ended.
        patience: Seconds that this one has to clean up after SIGTERM.
    """
    wait()
    # first as a user would end it; the thread goes on if that is not heard
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience)
    print('error: the process that started this one is gone', file=sys.stderr, flush=True)
    os._exit(128 + signal.SIGTERM)


def leave_process_group() -> None:
    """Destroy the process group, if there is one, after the work is done.

    Gloo's threads drop what they sent last when they come to it. One that does so after the
    interpreter has begun to end aborts the process (SIGABRT, "terminate called without an active
    exception"), so they are waited for here. Not to be called after an error: the other processes
    may never answer.
    """
    from torch import distributed  # most tools do without torch

    if not (distributed.is_available() and distributed.is_initialized()):
        return
    # The group's threads end with its last user, thus not before the model is gone.
    gc.collect()  # a runner is a cycle; its model holds the group
    distributed.destroy_process_group()


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
