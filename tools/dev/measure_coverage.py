"""Run pytest and print which share of mmlesion's statements the tests run, by package.

Arguments go to pytest, whose summary stays the last line. What tests run in other processes does
not count, nor do branches.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from terminaltables import AsciiTable

from mmlesion.utils import UserError, cli

if TYPE_CHECKING:
    from coverage import Coverage
    from pytest import TerminalReporter

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


def run_tests(arguments: Sequence[str]) -> int:
    """Run pytest under coverage's tracer, with this file as a plugin; return its exit status."""
    environment = dict(os.environ)
    paths = [str(Path(__file__).parent), environment.get('PYTHONPATH', '')]
    environment['PYTHONPATH'] = os.pathsep.join(filter(None, paths))
    if sys.version_info >= (3, 12):  # Python's own events, which cost next to nothing
        environment.setdefault('COVERAGE_CORE', 'sysmon')
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, '-m', 'coverage', 'run', f'--data-file={folder}/coverage']
        tests = [f'--source={PACKAGE}', '-m', 'pytest', '-p', Path(__file__).stem, *arguments]
        return subprocess.run([*command, *tests], env=environment).returncode


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Print the report, as pytest's plugin: its own summary stays the last line."""
    from coverage import Coverage

    measured = Coverage.current()
    assert measured is not None, 'run_tests starts pytest under coverage'
    measured.stop()
    terminalreporter.section('statements that tests run')
    terminalreporter.write_line(report(read_coverage(measured)))


def read_coverage(measured: Coverage) -> list[FileCoverage]:
    """Return what was run of each file of the package."""
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
    # by number, not share: large files have the most to gain
    worst = sorted(files, key=lambda file: -file.missing)[:LISTED]
    rows = [[str(file.path), file.missing, share(*file[1:])] for file in worst if file.missing]
    return f'{packages}\n{AsciiTable([["file", "not run", "run"], *rows]).table}'


@cli
def main():
    parser = argparse.ArgumentParser(description=__doc__, usage='%(prog)s [-h] [PYTEST ARGUMENTS]')
    _, arguments = parser.parse_known_args()
    if find_spec('coverage') is None:
        raise UserError('coverage is not installed: pip install -r requirements/tests.txt')
    sys.exit(run_tests(arguments))


if __name__ == '__main__':
    main()
