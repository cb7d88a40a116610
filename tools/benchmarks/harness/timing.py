"""Time functions beside each other, or by stage, and measure the memory that they add.

No framework is needed; torch is asked only to wait for a GPU.
"""

from __future__ import annotations

import functools
import gc
import statistics
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Callable, NamedTuple
from unittest import mock

from tqdm import tqdm

from mmlesion.utils import UserError

PARTS = ('features', 'rpn', 'roi_head', 'total')
"""Of a two-stage detector, as ``time_two_stage`` of :mod:`harness.detectors` has them."""


class Seconds(NamedTuple):
    """Duration of a call.

    Args:
        wall: Seconds by the clock on the wall.
        processor: Seconds of all threads of this process on the processor, which other work
            on the machine does not count into. On a GPU they are not what it costs.
    """

    wall: float
    processor: float

    def __add__(self, other: Seconds) -> Seconds:  # type: ignore[override]  # a tuple would grow
        return Seconds(self.wall + other.wall, self.processor + other.processor)


def time_call(function: Callable, *args: Any, device: Any = 'cpu') -> tuple[Any, Seconds]:
    """Call a function and measure how long it takes.

    Args:
        function: What to call.
        *args: Its arguments.
        device: Where it computes; a GPU is waited for.

    Returns:
        tuple: Its result, and :class:`Seconds`.
    """
    # A GPU's kernels run on after a call returns: both clocks are read when none is left.
    _wait_for(device)
    wall, processor = time.perf_counter(), time.process_time()
    result = function(*args)
    _wait_for(device)
    return result, Seconds(time.perf_counter() - wall, time.process_time() - processor)


def _wait_for(device: Any) -> None:
    if str(device).startswith('cuda'):
        import torch

        torch.cuda.synchronize(device)


def _itself(result: Any) -> Any:
    return result


class Rounds(list[dict[str, Any]]):
    """Of each round of :func:`interleave`, what each function returned, by name."""

    def median(self, name: str, value: Callable[[Any], float] = _itself) -> float:
        """Return the median over rounds of a number of what ``name`` returned.

        Args:
            name: Name of a function.
            value: Takes the number from what the function returned. Defaults
                to that itself.
        """
        return statistics.median(value(results[name]) for results in self)

    def median_ratio(
        self, name: str, reference: str, value: Callable[[Any], float] = _itself
    ) -> float:
        """Return the median over rounds of a number of ``name`` over that of ``reference``.

        Args:
            name: Name of a function.
            reference: Name of the one to compare it with.
            value: As for :meth:`median`.
        """
        # The median of ratios, and not the ratio of medians: what slows a round slows both.
        return statistics.median(value(r[name]) / value(r[reference]) for r in self)

    def part_medians(self, name: str, clock: str) -> dict[str, float]:
        """Return the median seconds of each of :data:`PARTS` of a two-stage detector.

        Args:
            name: Name of a function that returns :class:`Seconds` by part.
            clock: ``'wall'`` or ``'processor'``.
        """
        return {part: self.median(name, _seconds_of(part, clock)) for part in PARTS}

    def total_ratios(self, name: str, reference: str) -> dict[str, float]:
        """Return the median ratios of the ``total`` of two detectors, ``wall`` and ``processor``.

        Args:
            name: As for :meth:`part_medians`.
            reference: Name of the one to compare it with.
        """
        ratios = {}
        for clock in Seconds._fields:
            ratios[clock] = self.median_ratio(name, reference, _seconds_of('total', clock))
        return ratios


def _seconds_of(part: str, clock: str) -> Callable[[Mapping[str, Any]], float]:
    """Make a function that takes one number from :class:`Seconds` by part."""
    return lambda timed: getattr(timed[part], clock)


def interleave(functions: Mapping[str, Callable[[], Any]], runs: int, warmup: int) -> Rounds:
    """Call functions in rounds, in the other direction at every second round.

    Whichever runs second finds warmer caches, and the load of the machine changes: only times of
    the same round are compared.

    Args:
        functions: By name, without arguments.
        runs: Rounds that are returned.
        warmup: Rounds before them that are not.

    Returns:
        Rounds: Those after the warm-up.
    """
    names, rounds = list(functions), Rounds()
    for number in tqdm(range(warmup + runs), desc='benchmark'):
        order = names if number % 2 else names[::-1]
        rounds.append({name: functions[name]() for name in order})
    return Rounds(rounds[warmup:])


STATUS = Path('/proc/self/smaps_rollup')
SAMPLED = 0.005  # seconds


def check_memory(device: str) -> None:
    """Check that the memory of a device can be measured.

    Raises:
        UserError: If it is this process's memory, and the system does not report it.
    """
    if not device.startswith('cuda') and not STATUS.is_file():
        raise UserError(f'there is no {STATUS} to read memory from: use Linux, or --device cuda')


class PeakMemory:
    """The most memory that is added while a block runs.

    Args:
        device: A GPU's allocations are its own count; a processor's are sampled.

    Attributes:
        mib: When the block has ended, MiB.
    """

    def __init__(self, device: str) -> None:
        self.device = device

    @property
    def is_gpu(self) -> bool:
        """bool: Whether it is a GPU's memory."""
        return self.device.startswith('cuda')

    def __enter__(self) -> PeakMemory:
        self.ended = threading.Event()
        if self.is_gpu:
            import torch

            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
            return self
        gc.collect()  # otherwise earlier garbage would be freed during the block
        self.before = self.highest = private_bytes()
        self.sampler = threading.Thread(target=self._sample, daemon=True)
        self.sampler.start()
        return self

    def _sample(self) -> None:
        while not self.ended.wait(SAMPLED):
            self.highest = max(self.highest, private_bytes())

    def __exit__(self, *error: Any) -> None:
        self.ended.set()
        if self.is_gpu:
            import torch

            self.highest = torch.cuda.max_memory_allocated(self.device)
        else:
            self.sampler.join()
        self.mib = (self.highest - self.before) / 2**20


def private_bytes() -> int:
    """Return the resident memory of this process without mapped files, in bytes."""
    # status has it too, but the kernel may count huge pages there only later
    _, _, after = STATUS.read_text().partition('Anonymous:')
    return int(after.split()[0]) * 1024  # kB


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
