"""What is to be done when another process of a run is gone."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time

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
        arguments = (os.getppid(), patience, interval)
        threading.Thread(target=_follow, args=arguments, daemon=True).start()


def _follow(parent: int, patience: float, interval: float) -> None:
    # a process whose parent has ended gets another one
    while os.getppid() == parent:
        time.sleep(interval)
    # first as a user would end it; the thread goes on if that is not heard
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(patience)
    print('error: the process that started this one is gone', file=sys.stderr, flush=True)
    os._exit(128 + signal.SIGTERM)
