"""Run scripts in processes of their own that have torch, mmdet and mmlesion imported already.

A program's imports take five seconds, most tests' programs less for all the rest. Here they are
forked from one server, which imports once. They are no programs started from a shell: what is
tested of imports themselves, launchers and signals needs those.
"""

from __future__ import annotations

import os
import runpy
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver, get_context
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PRELOADED = ('mmlesion.register', 'mmdet.apis', 'mmdet.engine', 'mmengine.runner', 'SimpleITK')
SECONDS = 280  # no program takes as long, unless it hangs


class Done(NamedTuple):
    """How a program ended, as :class:`subprocess.CompletedProcess` has it."""

    returncode: int
    stdout: str
    stderr: str


class Program:
    """A script that runs in a process of its own.

    Args:
        script (str | Path): The file.
        arguments (Sequence): Of its command line.
        cwd (str | Path): The folder to run it in.
        variables (dict): Environment variables beside those of this process.
    """

    def __init__(
        self,
        script: str | Path,
        arguments: Sequence,
        cwd: str | Path = '.',
        variables: Mapping[str, str] | None = None,
    ) -> None:
        start_server()
        self.output = tempfile.TemporaryDirectory()
        environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONPATH=str(ROOT))
        words = [str(script), *map(str, arguments)]
        self.process = get_context('forkserver').Process(
            target=run_in_child,
            args=(words, os.path.abspath(cwd), environment | dict(variables or {}), self.paths),
        )
        self.process.start()

    @property
    def paths(self) -> list[str]:
        """Files of what it prints: standard output and standard error."""
        return [str(Path(self.output.name, name)) for name in ('stdout', 'stderr')]

    def wait(self) -> Done:
        """Wait for its end; a program that hangs is killed, and has a negative status."""
        self.process.join(SECONDS)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        with self.output:
            texts = [Path(path).read_text('utf-8') for path in self.paths]
        return Done(self.process.exitcode, *texts)


def start_server() -> None:
    """Start the server that all programs are forked from, unless it runs."""
    forkserver.set_forkserver_preload(list(PRELOADED))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', str(ROOT))
        patch.setenv('OMP_NUM_THREADS', '1')
        forkserver.ensure_running()


def run_in_child(
    words: Sequence[str], cwd: str, environment: Mapping[str, str], outputs: Sequence[str]
) -> None:
    """Become the program: its environment, folder, command line and output."""
    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv[:] = words
    sys.path.insert(0, os.path.dirname(words[0]))
    runpy.run_path(words[0], run_name='__main__')


def run_script(script: str | Path, *arguments: Any, **options: Any) -> Done:
    """Run a script to its end; ``options`` are :class:`Program`'s."""
    return Program(script, arguments, **options).wait()


def launch(
    script: str | Path,
    *arguments: Any,
    processes: int = 2,
    cwd: str | Path = '.',
    variables: Mapping[str, str] | None = None,
) -> str:
    """Run a script in processes that gloo can join, as ``torchrun`` starts them.

    Args:
        script (str | Path): The file.
        *arguments: Of its command line.
        processes (int): How many.
        cwd (str | Path): As of :class:`Program`.
        variables (dict): As of :class:`Program`.

    Returns:
        str: What they print, in order of their ranks. All must end well.
    """
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        group = {'MASTER_ADDR': '127.0.0.1', 'MASTER_PORT': str(free.getsockname()[1])}
    group |= {'WORLD_SIZE': str(processes), 'LOCAL_WORLD_SIZE': str(processes)}
    group |= {'CUDA_VISIBLE_DEVICES': ''} | dict(variables or {})
    programs = []
    for rank in map(str, range(processes)):
        own = {'RANK': rank, 'LOCAL_RANK': rank}
        programs.append(Program(script, arguments, cwd, group | own))
    ended = [program.wait() for program in programs]
    for done in ended:
        assert done.returncode == 0, done.stderr[-3000:]
    return ''.join(done.stdout for done in ended)
