"""The type of a table of bad input, and the check of one of its cases.

A case is a command line over a copy of valid data, one thing of which is spoiled. The tool runs in
this process. It must end with the case's exit status and exactly one line of error, and leave no
file behind but those that the case names, which a second run takes up.
"""

import logging
import os
import resource
import shutil
import signal
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Callable, NamedTuple

import pytest

SECONDS = 120  # no case takes as long, unless the tool hangs
MEMORY = 4 << 30  # bytes that a case may take beyond what the process has


class Tool(NamedTuple):
    """A tool, and a command line on valid data, with which it succeeds.

    Args:
        script (str): Under ``tools``.
        data (str): The kind of data, a function of ``bad_input_data``.
        arguments (str): Words in which ``{data}`` and ``{out}`` stand for paths, ``{at}`` for the
            folder of both.
        keeps (tuple[str]): Patterns of paths, from the folder of both, of what may stay of a run
            that has failed: what a second run takes up, and logs.
    """

    script: str
    data: str
    arguments: str
    keeps: tuple = ()


@dataclass(frozen=True)
class Case:
    """How a tool's input is spoiled, and what it must say.

    Attributes:
        tool (Tool): The tool.
        name (str): What is wrong.
        says (str): Part of the line of error.
        spoil (Callable, optional): Takes the folder of a copy of the data, and spoils it.
        options (str): Words after the tool's own arguments.
        status (int): The exit status.
        fault (Callable, optional): Of ``bad_input_faults``.
        keeps (tuple[str]): As of the tool, beside the tool's own.
    """

    tool: Tool
    name: str
    says: str
    spoil: Any = None
    options: str = ''
    status: int = 1
    fault: Any = None
    keeps: tuple = ()

    def __str__(self) -> str:
        return f'{Path(self.tool.script).stem}: {self.name}'


def table(*cases: Case) -> Any:
    """Return a decorator that runs a test with each case."""
    names = [str(case) for case in cases]
    assert len(set(names)) == len(names), 'two cases have one name'
    return pytest.mark.parametrize('case', cases, ids=names)


def of_tool(tool: Tool, *rows: tuple, **options: Any) -> list[Case]:
    """Return the cases of a tool: rows of name, what it says, and how the data are spoiled."""
    return [Case(tool, *row, **options) for row in rows]


def of_options(tool: Tool, *rows: tuple, status: int = 1) -> list[Case]:
    """Return the cases of a tool: rows of options, and what it says of them."""
    return [Case(tool, f'{words}', says, options=words, status=status) for words, says in rows]


class Outcome(NamedTuple):
    """How a run ended: its exit status and its lines of error."""

    status: int
    lines: list


def check(case: Case, valid: Path, run_tool: Callable, folder: Path, capsys: Any) -> None:
    """Run a case and compare its end with what the case says."""
    data, out = folder / 'data', folder / 'out'
    shutil.copytree(valid, data, symlinks=True)
    if case.spoil is not None:
        case.spoil(data)
    with case.fault(out) if case.fault else nullcontext():
        before = files_in(folder)
        outcome = run(case, data, out, run_tool, capsys)
    left = [name for name in sorted(files_in(folder) - before) if not may_stay(name, case)]
    assert outcome.status == case.status, f'STATUS {outcome.status}: {outcome.lines}'
    assert len(outcome.lines) == 1, f'LINES {outcome.lines}'
    assert case.says in outcome.lines[0], f'SAYS {outcome.lines[0]}'
    assert not left, f'LEFT {left}'


def run(case: Case, data: Path, out: Path, run_tool: Callable, capsys: Any) -> Outcome:
    """Run a tool as its command line does."""
    words = f'{case.tool.arguments} {case.options}'.split()
    places = {'data': data, 'out': out, 'at': data.parent}
    words = [word.format(**places) if '{' in word else word for word in words]
    capsys.readouterr()
    told = []
    # a log that an earlier case has opened may write to what that case has closed
    with limits(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(logging, 'raiseExceptions', False)
        try:
            run_tool(case.tool.script, *words)
            status = 0
        except SystemExit as end:
            status = end.code or 0
    printed = capsys.readouterr().err
    if isinstance(status, str):  # what Python prints before it exits with status 1
        told, status = status.splitlines(), 1
    told += [line for line in printed.splitlines() if 'error: ' in line]
    assert 'Traceback' not in printed, f'TRACEBACK {printed[-2000:]}'
    return Outcome(status, told)


def may_stay(name: str, case: Case) -> bool:
    """Return whether a file may be left: one that is named, but not a temporary one."""
    is_temporary = any(part.startswith('.') for part in Path(name).parts)
    return not is_temporary and any(fnmatch(name, one) for one in case.tool.keeps + case.keeps)


def files_in(folder: Path) -> set[str]:
    """Return the files under a folder, from there on."""
    found = set()
    for parent, _, names in os.walk(folder):
        found.update(os.path.relpath(os.path.join(parent, name), folder) for name in names)
    return found


@contextmanager
def limits():
    """End what takes too long or too much memory."""

    def stop(*_):
        raise TimeoutError('HANGS')

    used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()
    plain = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, plain[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, plain)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
