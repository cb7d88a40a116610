"""Processes of a run: how one leaves the others, and what is done when another is gone."""

from __future__ import annotations

import gc
import os
import re
import signal
import sys
import threading
import time
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
