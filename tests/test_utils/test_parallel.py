import multiprocessing
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from mmlesion.io.atomic import atomic_write
from mmlesion.utils import OutputError, UserError, cli, parallel, run_parallel
from mmlesion.utils.parallel import prefetch


def square(number):
    if number == 13:
        raise UserError('13 is refused')
    if number == 14:
        raise OutputError('the disk is full')
    if number == 15:
        os.kill(os.getpid(), signal.SIGKILL)
    return number**2, os.getpid()


@pytest.mark.parametrize('workers', [1, 2])
def test_results_in_the_order_of_the_tasks(workers, capsys):
    results = run_parallel(square, range(9), workers, 'squares', 'number')
    assert [value for value, _ in results] == [n**2 for n in range(9)]
    assert (os.getpid() in {process for _, process in results}) == (workers == 1)
    assert 'squares: 100%' in capsys.readouterr().err
    assert run_parallel(square, [], workers) == []


@pytest.mark.parametrize('workers', [1, 2])
def test_errors_come_through(workers):
    with pytest.raises(UserError, match='13 is refused'):
        run_parallel(square, [1, 13], workers)
    with pytest.raises(OutputError, match='the disk is full'):
        run_parallel(square, [1, 14], workers)


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'it hangs'
        time.sleep(0.05)


class Work:
    """A program whose workers write a file each and never end."""

    def __init__(self, folder, workers):
        self.folder = folder
        # forked, as another import of everything would take most of the time
        context = multiprocessing.get_context('fork')
        self.process = context.Process(target=program, args=(folder, workers))
        self.process.start()
        wait_for(lambda: len(self.workers()) == workers)

    def workers(self):
        texts = [path.read_text() for path in self.folder.glob('[0-9]')]
        return sorted(int(text) for text in texts if text)

    def end(self):
        """Its status and its last lines; nothing of it may stay."""
        self.process.join(30)
        wait_for(lambda: not any(map(is_alive, self.workers())))
        return self.process.exitcode, (self.folder / 'errors').read_text().splitlines()


def is_alive(process):
    try:
        return 'Z' not in Path(f'/proc/{process}/stat').read_text().rpartition(')')[2]
    except FileNotFoundError:
        return False


linux = pytest.mark.skipif(
    not Path('/proc/self/stat').is_file(), reason='processes are listed on Linux alone'
)


@pytest.fixture(params=[1, 2])
def work(request, tmp_path):
    work = Work(tmp_path, request.param)
    yield work
    work.process.kill()
    work.process.join()


@linux
@pytest.mark.parametrize('number, status', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_it_in_a_line_and_leave_nothing(work, number, status):
    """Ctrl-C goes to all processes, SIGTERM to the first."""
    (os.killpg if number == signal.SIGINT else os.kill)(work.process.pid, number)
    returned, errors = work.end()
    assert returned == status
    assert errors[-1] == f'error: interrupted by {number.name}'
    assert not any('Traceback' in line for line in errors)
    assert not list(work.folder.glob('.*')), 'temporary files'


@linux
@pytest.mark.parametrize('work', [2], indirect=True)
def test_a_killed_worker_is_an_error(work):
    os.kill(work.workers()[0], signal.SIGKILL)
    returned, errors = work.end()
    assert returned == 1 and not any('Traceback' in line for line in errors)
    assert errors[-1].startswith('error: a worker process was killed')
    assert 'What is finished is kept' in errors[-1]


@linux
@pytest.mark.parametrize('work', [2], indirect=True)
def test_workers_end_with_a_killed_parent(work):
    work.process.kill()
    work.end()
    assert not list(work.folder.glob('.*')), 'temporary files'


@linux
@pytest.mark.parametrize('work', [2], indirect=True)
@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_workers_that_hear_nothing_are_killed(deaf, work, number):
    os.kill(work.process.pid, number)
    assert work.end()[0] == (143 if number == signal.SIGTERM else -9)


@pytest.fixture
def deaf(monkeypatch):
    """Workers catch whatever is raised, as the executor itself does where it sends a result."""

    def sleep(seconds, sleep=time.sleep):
        while seconds == 60:
            try:
                sleep(0.1)
            except SystemExit:
                pass
        sleep(seconds)

    monkeypatch.setattr(time, 'sleep', sleep)
    monkeypatch.setattr(parallel, 'PATIENCE', 0.5)


def write_for_ever(number, folder):
    with atomic_write(folder / f'result-{number}'):
        (folder / f'{number}').write_text(str(os.getpid()))
        time.sleep(60)


def program(folder, workers):
    """Become a program of its own, whose standard error is a file."""
    os.setsid()
    # a shell's background jobs ignore it, and what they start inherits that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(os.open(folder / 'errors', os.O_CREAT | os.O_WRONLY), 2)
    sys.stderr = open(2, 'w', buffering=1)
    task = partial(write_for_ever, folder=folder)
    cli(run_parallel)(task, range(4), workers, None, 'it', True)


def test_what_is_prefetched_comes_in_order():
    assert list(prefetch(lambda item: item * 2, range(5))) == [0, 2, 4, 6, 8]
    assert list(prefetch(str, [])) == []


def test_the_next_one_is_made_while_one_is_used():
    made = [threading.Event() for _ in range(3)]
    results = prefetch(lambda item: made[item].set(), range(3))
    next(results)
    assert made[1].wait(5)
    assert not made[2].wait(0.05)  # no more than one ahead


def test_errors_of_what_is_prefetched_come_where_the_result_is_due():
    results = prefetch(lambda item: 1 / item, [1, 0])
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)
