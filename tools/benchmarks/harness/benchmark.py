"""The command line of tools/benchmarks: common options, the file of figures, and tables.

Needs no framework, so that help and errors come at once; torch is asked only about a GPU.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

from mmlesion.io.json_files import to_json, write_json
from mmlesion.utils import UserError, check_range
from mmlesion.utils.configs import load_config


class BenchmarkParser(argparse.ArgumentParser):
    """Parser with the options that benchmarks have in common.

    Args:
        description: What is timed.
        drawn: What is drawn at random. Without it there is no ``--seed``.
        runs: Default of ``--runs``. Without it there are no ``--runs``,
            ``--warmup`` and ``--device``.
        warmup: Default of ``--warmup``.
    """

    def __init__(
        self,
        description: str | None,
        drawn: str | None = None,
        runs: int | None = None,
        warmup: int = 0,
    ) -> None:
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if runs is not None:
            self.add_argument(
                '--runs', type=int, default=runs, help='timed runs of each (default %(default)s)'
            )
            self.add_argument(
                '--warmup',
                type=int,
                default=warmup,
                help=f'untimed runs of each (default {warmup})',
            )
            self.add_argument('--device', default='cpu', help='torch device (default cpu)')
        if drawn is not None:
            self.add_argument('--seed', type=int, default=0, help=f'of {drawn} (default 0)')
        self.add_argument('--out', metavar='JSON', help='file for the figures')

    def run(
        self,
        measure: Callable[[argparse.Namespace], Any],
        show: Callable[[Any], str] | None = None,
    ) -> None:
        """Measure what the command line asks for; print the figures and write them to ``--out``.

        Args:
            measure: Takes the options and returns figures that JSON can hold.
            show: Makes a text of the figures. Defaults to JSON.

        Raises:
            UserError: If an option cannot be used.
        """
        args = self.parse_args()
        check_runs(args)
        figures = measure(args)
        print(show(figures) if show else to_json(figures, indent=2))
        if args.out:
            write_json(figures, args.out)


def check_runs(args: argparse.Namespace) -> None:
    """Check ``--seed``, ``--runs``, ``--warmup`` and ``--device``, where there are such options.

    Raises:
        UserError: If there is no run, a negative number of runs or seed, or no such device.
    """
    if 'seed' in args:
        check_range('--seed', args.seed, 0)
    if 'runs' not in args:
        return
    if args.runs < 1 or args.warmup < 0:
        raise UserError('--runs must be at least 1 and --warmup at least 0')
    if args.device == 'cpu':
        return
    import torch

    try:
        torch.device(args.device)
    except RuntimeError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f'--device {args.device} is no device ({reason}): try cpu') from None
    if args.device.startswith('cuda') and not torch.cuda.is_available():
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
        rows: The figures of each row.
        columns: By heading what a row shows there. The first column is
            aligned to the left, the others to the right.

    Returns:
        str: The headings and a line for each row.
    """
    lines = [list(columns)]
    for row in rows:
        lines.append([show(row) for show in columns.values()])
    # A column is as wide as the widest of its cells, the heading included.
    widths = [max(map(len, column)) for column in zip(*lines)]
    return '\n'.join(map(partial(_join_cells, widths=widths), lines))


def _join_cells(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = list(map(str.rjust, cells, widths))
    padded[0] = cells[0].ljust(widths[0])
    return '  '.join(padded).rstrip()


if TYPE_CHECKING:
    from mmengine.config import Config


def load_configs(paths: Sequence[str | Path]) -> dict[str, Config]:
    """Load configs, by the names of their files.

    Raises:
        UserError: If there is no such file, or a config is given twice.
    """
    names = [Path(path).stem for path in paths]
    if len(set(names)) < len(names):
        raise UserError('a config is given twice: give each once')
    return dict(zip(names, map(load_config, paths)))
