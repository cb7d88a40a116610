"""Time by stage of a program that was not written to be timed; no framework."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Callable
from unittest import mock


class StageClock:
    """Wall time by stage, each without the stages that it calls.

    Functions are replaced by timed ones while the clock runs. Threads are told apart: what another
    thread does beside the one that runs the clock is no part of the time that this one takes.

    Args:
        wait: Called before each reading, to wait for a GPU. Defaults to nothing.

    Attributes:
        seconds: By (stage, whether it is the clock's own thread).
        calls: As ``seconds``.
        total: Seconds of the block.
    """

    def __init__(self, wait: Callable[[], Any] = lambda: None) -> None:
        self.wait = wait
        self.seconds: dict[tuple[str, bool], float] = defaultdict(float)
        self.calls: dict[tuple[str, bool], int] = defaultdict(int)
        self.total = 0.0
        self._local = threading.local()
        self._targets: list[tuple[Any, str, str]] = []

    def add(self, stage: str, owner: Any, name: str) -> None:
        """Time an attribute of an object, class or module as a stage.

        Args:
            stage: Its name in the table.
            owner: What has the attribute.
            name: The function's name there.
        """
        self._targets.append((owner, name, stage))

    def add_everywhere(self, stage: str, function: Callable) -> None:
        """Time a function as a stage wherever a loaded module has it by a name of its own.

        Args:
            stage: Its name in the table.
            function: A function of a module.
        """
        name = function.__name__
        for module in list(sys.modules.values()):
            if vars(module).get(name) is function:
                self.add(stage, module, name)

    @contextmanager
    def running(self) -> Iterator[StageClock]:
        """Time what runs in the block."""
        self._main = threading.get_ident()
        with ExitStack() as stack:
            for owner, name, stage in self._targets:
                timed = self._timed(stage, getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, timed))
            self.wait()
            start = time.perf_counter()
            yield self
            self.wait()
            self.total = time.perf_counter() - start

    def _timed(self, stage: str, function: Callable) -> Callable:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            # seconds of the calls within each call that is open in this thread
            inner: list[float] = self._local.__dict__.setdefault('inner', [])
            self.wait()
            inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.wait()
                lasted = time.perf_counter() - start
                key = stage, threading.get_ident() == self._main
                self.seconds[key] += lasted - inner.pop()
                self.calls[key] += 1
                if inner:
                    inner[-1] += lasted

        return timed

    def rows(self) -> list[dict]:
        """Return the stages, the longest first.

        Returns:
            list[dict]: ``stage``, ``seconds``, ``calls``, ``beside``, whether in another thread,
            and ``share`` of the total. What no stage has is ``(rest)``.
        """
        own = sum(seconds for (_, is_own), seconds in self.seconds.items() if is_own)
        rows = [self._row('(rest)', self.total - own, 1, False)]
        for (stage, is_own), seconds in self.seconds.items():
            rows.append(self._row(stage, seconds, self.calls[stage, is_own], not is_own))
        return sorted(rows, key=lambda row: (row['beside'], -row['seconds']))

    def _row(self, stage: str, seconds: float, calls: int, beside: bool) -> dict:
        share = seconds / self.total
        return dict(stage=stage, seconds=seconds, calls=calls, beside=beside, share=share)
