"""Parallel execution with a clean end on errors, signals and killed workers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import InvalidStateError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from types import FrameType
from typing import Any, Callable, NoReturn

from tqdm import tqdm

from .errors import UserError, terminable

PATIENCE = 10.0
"""Seconds that a worker has to clean up after SIGTERM."""
_KEPT = 'What is finished is kept: run the same command again'


def run_parallel(
    function: Callable,
    tasks: Sequence,
    workers: int = 1,
    desc: str | None = None,
    unit: str = 'it',
    resumable: bool = False,
) -> list:
    """Call a function on each task, in processes and with a progress bar.

    Args:
        function: Takes one task; it and the tasks are pickled if there are several
            processes.
        tasks: The tasks.
        workers: Processes. Defaults to 1, this one.
        desc: Label of the progress bar.
        unit: What it calls a task.
        resumable: Whether a second run keeps what this one has finished; the error about
            a worker that died says so.

    Returns:
        list: The results, in the order of the tasks.

    Raises:
        UserError: If a worker is killed.
    """
    with parallel_map(min(workers, len(tasks)), resumable=resumable) as run_all:
        results = run_all(function, tasks)
        return list(tqdm(results, total=len(tasks), desc=desc, unit=unit))


@contextmanager
def parallel_map(
    workers: int,
    initializer: Callable | None = None,
    chunksize: int = 1,
    resumable: bool = False,
) -> Iterator[Callable]:
    """Yield a ``map`` that keeps the order, in this process or in several.

    SIGTERM ends the block as Ctrl-C does. However the block is left, the workers end too; they come
    to the end of the ``finally`` clauses that they are in, so that no temporary file stays.

    Args:
        workers: Processes; up to 1 is this one.
        initializer: What each process calls first.
        chunksize: Tasks that a process takes at a time.
        resumable: As in :func:`run_parallel`.

    Raises:
        UserError: If a worker is killed.
    """
    with terminable():
        if workers <= 1:
            if initializer is not None:
                initializer()
            yield map
            return
        # The executor does not name its processes: they are those that are new.
        others = set(multiprocessing.active_children())
        executor = ProcessPoolExecutor(workers, initializer=_begin_worker, initargs=(initializer,))
        try:
            yield lambda function, tasks: executor.map(
                partial(_call, function), tasks, chunksize=chunksize
            )
        except BrokenProcessPool:
            again = f'{_KEPT}, with' if resumable else 'Run the same command again with'
            raise UserError(
                f'a worker process was killed, possibly for lack of memory. {again} fewer '
                '--workers (1 needs least)'
            ) from None
        except BaseException:
            with _cancelled_futures_ignored():
                _end(set(multiprocessing.active_children()) - others)
                executor.shutdown(cancel_futures=True)
            raise
        finally:
            executor.shutdown(cancel_futures=True)


@contextmanager
def _cancelled_futures_ignored() -> Iterator[None]:
    """Keep quiet of futures that are canceled when the executor's own thread breaks them off.

    Python up to 3.12 does not expect that, and prints a traceback when the workers end.
    """
    plain = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, InvalidStateError):
            plain(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = plain


def _end(workers: set[BaseProcess]) -> None:
    """Ask workers to end; kill those that do not hear it."""
    for process in workers:
        process.terminate()
    # All are asked before any is waited for, so that they clean up at the same time.
    for process in workers:
        process.join(PATIENCE)
        process.kill()


def _begin_worker(initializer: Callable[[], Any] | None) -> None:
    """Leave Ctrl-C, which all processes receive, to the parent, and exit with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_worker)
    threading.Thread(target=_follow_parent, daemon=True).start()
    if initializer is not None:
        initializer()


def _follow_parent() -> None:
    """Wait for the parent's end, which a worker that waits for a task does not notice."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)  # what it raises is lost where all exceptions are caught
    os._exit(128 + signal.SIGTERM)


class _WorkerEnd(SystemExit):
    """The end of a worker, which its task does not handle."""

    code: int


def _end_worker(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # the clean-up is not to be broken
    raise _WorkerEnd(128 + number)


def _call(function: Callable, task: Any) -> Any:
    try:
        return function(task)
    except _WorkerEnd as end:  # the executor would hand it on and take a new task
        os._exit(end.code)
