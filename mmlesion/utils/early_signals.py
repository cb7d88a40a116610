"""SIGTERM while a tool still imports what it needs."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import NoReturn

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def tell_early_end() -> None:
    """Tell SIGTERM in one line from now on, if this process runs one of the package's tools.

    :func:`~mmlesion.utils.errors.cli` takes over when ``main`` begins. In any other program signals
    are left alone.
    """
    script = getattr(sys.modules.get('__main__'), '__file__', None)
    if script is None or TOOLS not in Path(script).resolve().parents:
        return
    in_main_thread = threading.current_thread() is threading.main_thread()
    # only where nobody has set another handler, such as a program that imports mmlesion
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    print('\nerror: interrupted by SIGTERM', file=sys.stderr, flush=True)
    # at once: an exception within an import could be caught by the module that imports
    os._exit(128 + number)
