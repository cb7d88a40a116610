"""Parallel execution: processes with a clean end on errors, signals and kills; a thread ahead."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing.process import BaseProcess
from typing import Any, Callable, TypeVar

from tqdm import tqdm

from .command_line import terminable
from .errors import UserError
from .processes import end_after

PATIENCE = 10.0
"""Seconds that a worker has to clean up after SIGTERM."""
_KEPT = 'What is finished is kept: run the same command again'
Item = TypeVar('Item')
Result = TypeVar('Result')


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
            # first, as the executor complains of canceled tasks that it has when its workers end
            executor.shutdown(wait=False, cancel_futures=True)
            _end(set(multiprocessing.active_children()) - others)
            raise
        finally:
            executor.shutdown(cancel_futures=True)


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
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    # a worker that waits for a task does not notice the parent's end
    threading.Thread(target=end_after, args=(parent.join, PATIENCE), daemon=True).start()
    if initializer is not None:
        initializer()


def _end_worker(number: int, _: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # the clean-up is not to be broken
    raise SystemExit(128 + number)


def _call(function: Callable, task: Any) -> Any:
    try:
        return function(task)
    except SystemExit:  # the executor would hand it on and take a new task
        os._exit(128 + signal.SIGTERM)


def prefetch(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Apply a function to items in a thread, while the result of the item before is used.

    Two results are in memory at most. What the function raises is raised where its result is due.

    Args:
        function: Takes an item; releases the GIL where it takes long, as copies do.
        items: In order.

    Yields:
        The function's results, in the order of the items.
    """
    with ThreadPoolExecutor(1) as background:
        ahead = None
        for item in items:
            following = background.submit(function, item)
            if ahead is not None:
                yield ahead.result()
            ahead = following
        if ahead is not None:
            yield ahead.result()
