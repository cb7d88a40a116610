"""Time the help of every tool: processor seconds of Python and of what the tool imports for it."""

import argparse
import resource
import subprocess
import sys
from pathlib import Path

from terminaltables import AsciiTable
from tqdm import tqdm

from mmlesion.utils import UserError, cli

TOOLS = Path(__file__).resolve().parents[1]
LIMIT = 1.0  # seconds


def help_seconds(tool: Path, runs: int) -> float:
    """Return the least processor seconds (user and system) of some runs of ``tool --help``.

    Raises:
        UserError: If the tool fails.
    """
    seconds = []
    for _ in range(runs):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            [sys.executable, str(tool), '--help'], capture_output=True, encoding='utf-8'
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode:
            raise UserError(f'{tool} --help fails: {done.stderr.strip()[-500:]}')
        # sums over all children that have ended: their growth is this child's
        user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
        seconds.append(user + system)
    return min(seconds)


def find_tools(names: list[Path]) -> list[Path]:
    """Return the tools that are named, or all below ``tools``."""
    if missing := [name for name in names if not name.is_file()]:
        raise UserError(f'{missing[0]} does not exist')
    return names or sorted(TOOLS.rglob('*.py'))


@cli
def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('tools', nargs='*', type=Path, help='default: all')
    parser.add_argument('--runs', type=int, default=1, help='the best of so many (default 1)')
    parser.add_argument('--check', action='store_true', help=f'fail if one takes {LIMIT} s or more')
    args = parser.parse_args()
    if args.runs < 1:
        raise UserError('--runs must be at least 1')
    seconds = {}
    for tool in tqdm(find_tools(args.tools), unit='tool'):
        seconds[tool] = help_seconds(tool, args.runs)
    rows = sorted(seconds.items(), key=lambda row: -row[1])
    table = [['tool', 'cpu s']]
    for tool, taken in rows:
        table.append([str(tool), f'{taken:.2f}'])
    print(AsciiTable(table).table)
    slow = [tool for tool, taken in rows if taken >= LIMIT]
    if args.check and slow:
        raise UserError(f'{len(slow)} tools take {LIMIT} s or more, first {slow[0]}')


if __name__ == '__main__':
    main()
