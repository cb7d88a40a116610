"""Run pytest and print which share of mmlesion's statements the tests run, by package.

Arguments go to pytest. What tests run in other processes does not count, nor do branches. Measuring
takes a sixth to a third more processor time than the tests alone: tools/run_tests.sh leaves it out.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from terminaltables import AsciiTable

from mmlesion.utils import UserError, cli

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / 'mmlesion'
LISTED = 10  # files


class FileCoverage(NamedTuple):
    """Statements of a file: how many, and how many of them no test runs."""

    path: Path
    statements: int
    missing: int


@dataclass
class Total:
    """Sums over files."""

    files: int = 0
    statements: int = 0
    missing: int = 0

    def add(self, file: FileCoverage) -> None:
        self.files += 1
        self.statements += file.statements
        self.missing += file.missing

    @property
    def row(self) -> list:
        return [self.files, self.statements, self.missing, share(self.statements, self.missing)]


def share(statements: int, missing: int) -> str:
    """Return the share of statements that are run."""
    return f'{1 - missing / statements:.1%}' if statements else '-'


def run_tests(arguments: Sequence[str], data_file: Path) -> int:
    """Run pytest under coverage's tracer and return its exit status."""
    command = [sys.executable, '-m', 'coverage', 'run', f'--data-file={data_file}']
    tests = [f'--source={PACKAGE}', '-m', 'pytest', *arguments]
    return subprocess.run([*command, *tests]).returncode


def read_coverage(data_file: Path) -> list[FileCoverage]:
    """Return what was run of each file of the package."""
    from coverage import Coverage

    measured = Coverage(data_file=str(data_file), source=[str(PACKAGE)])
    measured.load()
    files = []
    for path in sorted(PACKAGE.rglob('*.py')):
        _, statements, _, missing, _ = measured.analysis2(str(path))
        files.append(FileCoverage(path.relative_to(ROOT), len(statements), len(missing)))
    return files


def package_of(file: FileCoverage) -> str:
    """Return the first two names of its module, or ``mmlesion`` for one directly below."""
    return '.'.join(file.path.parts[:2]) if len(file.path.parts) > 2 else 'mmlesion'


def report(files: Sequence[FileCoverage]) -> str:
    """Lay out the packages, and the files with most statements that no test runs."""
    totals: dict[str, Total] = {}
    whole = Total()
    for file in files:
        totals.setdefault(package_of(file), Total()).add(file)
        whole.add(file)
    rows = [[name, *total.row] for name, total in sorted(totals.items())]
    header = ['package', 'files', 'statements', 'not run', 'run']
    packages = AsciiTable([header, *rows, ['all', *whole.row]]).table
    worst = sorted(files, key=lambda file: -file.missing)[:LISTED]
    rows = [[str(file.path), file.missing, share(*file[1:])] for file in worst if file.missing]
    return f'{packages}\n{AsciiTable([["file", "not run", "run"], *rows]).table}'


@cli
def main():
    parser = argparse.ArgumentParser(description=__doc__, usage='%(prog)s [-h] [PYTEST ARGUMENTS]')
    _, arguments = parser.parse_known_args()
    if find_spec('coverage') is None:
        raise UserError('coverage is not installed: pip install -r requirements/tests.txt')
    with tempfile.TemporaryDirectory() as folder:
        data_file = Path(folder, 'coverage')
        status = run_tests(arguments, data_file)
        if not data_file.is_file():
            raise UserError('pytest ended before a test ran: see above')
        print(report(read_coverage(data_file)))
    sys.exit(status)


if __name__ == '__main__':
    main()
