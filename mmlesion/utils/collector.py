"""The collector of reference cycles, paused where none are made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep Python from looking for cycles among the many records that a block makes."""
    was_enabled = gc.isenabled()
    # nothing leaks: objects without cycles are freed by their counts
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
