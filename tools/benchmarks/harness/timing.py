"""Time functions beside each other, with no framework; torch is asked only to wait for a GPU."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from tqdm import tqdm

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
