"""Time functions beside each other: the measuring and the command line of tools/benchmarks.

Needs no framework; torch is asked only about a GPU that is named.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Callable, NamedTuple

from tqdm import tqdm

from mmlesion.io.json_files import write_json
from mmlesion.utils import UserError


class Seconds(NamedTuple):
    """Duration of a call.

    Args:
        wall (float): Seconds by the clock on the wall.
        processor (float): Seconds of all threads of this process on the processor, which other work
            on the machine does not count into. On a GPU they are not what it costs.
    """

    wall: float
    processor: float

    def __add__(self, other: Seconds) -> Seconds:  # type: ignore[override]  # a tuple would grow
        return Seconds(self.wall + other.wall, self.processor + other.processor)


def time_call(function: Callable, *args: Any, device: Any = 'cpu') -> tuple[Any, Seconds]:
    """Call a function and measure how long it takes.

    Args:
        function (callable): What to call.
        *args: Its arguments.
        device (str | torch.device): Where it computes; a GPU is waited for.

    Returns:
        tuple: Its result, and :class:`Seconds`.
    """
    _wait_for(device)
    wall, processor = time.perf_counter(), time.process_time()
    result = function(*args)
    _wait_for(device)
    return result, Seconds(time.perf_counter() - wall, time.process_time() - processor)


def _wait_for(device: Any) -> None:
    if str(device).startswith('cuda'):
        import torch

        torch.cuda.synchronize(device)


def interleave(
    functions: Mapping[str, Callable[[], Any]], runs: int, warmup: int
) -> list[dict[str, Any]]:
    """Call functions in rounds, in the other direction at every second round.

    Whichever runs second finds warmer caches, and the load of the machine changes: only times of
    the same round are compared.

    Args:
        functions (dict[str, callable]): By name, without arguments.
        runs (int): Rounds that are returned.
        warmup (int): Rounds before them that are not.

    Returns:
        list[dict]: Of each round, the result of each function by name.
    """
    names, rounds = list(functions), []
    for number in tqdm(range(warmup + runs), desc='benchmark'):
        order = names if number % 2 else names[::-1]
        rounds.append({name: functions[name]() for name in order})
    return rounds[warmup:]


def _itself(result: Any) -> Any:
    return result


def median(
    rounds: Sequence[Mapping[str, Any]], name: str, value: Callable[[Any], float] = _itself
) -> float:
    """Return the median over rounds of a number in the results of ``name``.

    Args:
        rounds (list[dict]): Those of :func:`interleave`.
        name (str): Name of a function.
        value (callable, optional): Takes the number from a result. Defaults to the result itself.
    """
    return statistics.median(value(results[name]) for results in rounds)


def median_ratio(
    rounds: Sequence[Mapping[str, Any]],
    name: str,
    reference: str,
    value: Callable[[Any], float] = _itself,
) -> float:
    """Return the median over rounds of a number of ``name`` over that of ``reference``.

    Args:
        rounds (list[dict]): Those of :func:`interleave`.
        name (str): Name of a function.
        reference (str): Name of the one to compare it with.
        value (callable, optional): As for :func:`median`.
    """
    return statistics.median(value(r[name]) / value(r[reference]) for r in rounds)


def benchmark_parser(
    description: str, drawn: str | None = None, runs: int | None = None, warmup: int = 0
) -> argparse.ArgumentParser:
    """Make a parser with the options that benchmarks have in common.

    Args:
        description (str): What is timed.
        drawn (str, optional): What is drawn at random. Without it there is no ``--seed``.
        runs (int, optional): Default of ``--runs``. Without it there are no ``--runs``,
            ``--warmup`` and ``--device``.
        warmup (int): Default of ``--warmup``.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if runs is not None:
        parser.add_argument(
            '--runs', type=int, default=runs, help=f'timed runs of each (default {runs})'
        )
        parser.add_argument(
            '--warmup', type=int, default=warmup, help=f'untimed runs of each (default {warmup})'
        )
        parser.add_argument('--device', default='cpu', help='torch device (default cpu)')
    if drawn is not None:
        parser.add_argument('--seed', type=int, default=0, help=f'of {drawn} (default 0)')
    parser.add_argument('--out', metavar='JSON', help='file for the figures')
    return parser


def run_benchmark(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], Any],
    show: Callable[[Any], str] | None = None,
) -> None:
    """Measure with the command line's options; print the figures and write them to ``--out``.

    Args:
        parser (ArgumentParser): That of :func:`benchmark_parser` with the benchmark's own options.
        measure (callable): Takes the options and returns figures that JSON can hold.
        show (callable, optional): Makes a text of the figures. Defaults to JSON.

    Raises:
        UserError: If an option cannot be used.
    """
    args = parser.parse_args()
    check_runs(args)
    figures = measure(args)
    print(show(figures) if show else json.dumps(figures, indent=2))
    if args.out:
        write_json(figures, args.out)


def check_runs(args: argparse.Namespace) -> None:
    """Check the options ``--runs``, ``--warmup`` and ``--device``, where there are such.

    Raises:
        UserError: If there is no run, a negative number of runs, or no such device.
    """
    if 'runs' not in args:
        return
    if args.runs < 1 or args.warmup < 0:
        raise UserError('--runs must be at least 1 and --warmup at least 0')
    if args.device.startswith('cuda'):
        import torch

        if not torch.cuda.is_available():
            raise UserError(f'--device {args.device}: torch finds no CUDA device')


def check_size(size: int, multiple: int, least: int) -> None:
    """Check the side of an input, ``--size``, against the coarsest stride of what takes it.

    Raises:
        UserError: If it is no multiple of that, or too small.
    """
    if size < least or size % multiple:
        raise UserError(f'--size {size} is no multiple of {multiple} from {least} on')


def format_table(
    rows: Iterable[Mapping[str, Any]], columns: Mapping[str, Callable[[Mapping[str, Any]], str]]
) -> str:
    """Lay figures out as lines of text.

    Args:
        rows (Iterable[dict]): The figures of each row.
        columns (dict[str, callable]): By heading, the text of a row's cell. The first column is
            aligned to the left, the others to the right.

    Returns:
        str: The headings and a line for each row.
    """
    rows = list(rows)
    padded: list[list[str]] = []
    for heading, show in columns.items():
        cells = [heading] + [show(row) for row in rows]
        width = max(map(len, cells))
        align = str.rjust if padded else str.ljust
        padded.append([align(cell, width) for cell in cells])
    return '\n'.join('  '.join(line).rstrip() for line in zip(*padded))
