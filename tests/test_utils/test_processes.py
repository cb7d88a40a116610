import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mmlesion.utils.command_line import explain
from mmlesion.utils.processes import FOLLOW, end_with_parent, leave_process_group, lost_process

THREADS = Path('/proc/self/task')
LOADER = "a data loader's worker process was killed"
PEER = 'another process of this run ended'
MESSAGES = {
    'DataLoader worker (pid 3) is killed by signal: Killed. ': LOADER,
    'DataLoader worker (pid(s) 3, 4) exited unexpectedly': LOADER,
    '[../gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:21': PEER,
    '[../pair.cc:533] Read error [127.0.0.1]:2: Connection reset by peer': PEER,
    'NCCL error: remote process exited or there was a network error': PEER,
}


@pytest.mark.parametrize('message', MESSAGES)
def test_a_lost_process_is_told(message):
    line = lost_process(RuntimeError(message))
    assert line.startswith(MESSAGES[message]) and 'run the same command again' in line
    assert explain(RuntimeError(message)) == line


def test_other_errors_are_not():
    assert lost_process(RuntimeError('shape mismatch')) is None
    assert lost_process(OSError('Connection closed by peer')) is None


def deaf_child(path):
    """Write its number; hear no SIGTERM."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_parent(patience=0.2, interval=0.02)
    path.write_text(str(os.getpid()))
    time.sleep(60)


def parent(path):
    multiprocessing.get_context('fork').Process(target=deaf_child, args=(path,)).start()
    time.sleep(60)


@pytest.mark.skipif(not Path('/proc/self/stat').is_file(), reason='processes are listed on Linux')
def test_a_process_ends_with_the_one_that_started_it(tmp_path, monkeypatch):
    monkeypatch.setenv(FOLLOW, '1')
    path = tmp_path / 'child'
    process = multiprocessing.get_context('fork').Process(target=parent, args=(path,))
    process.start()
    wait_for(lambda: path.is_file() and path.read_text())
    child = Path('/proc') / path.read_text()
    process.kill()
    wait_for(lambda: not child.exists() or ') Z ' in (child / 'stat').read_text())
    process.join()


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, 'it hangs'
        time.sleep(0.02)


def gloo_threads():
    names = [(thread / 'comm').read_text() for thread in THREADS.iterdir()]
    return [name.strip() for name in names if 'gloo' in name]


def train():
    """A step of a model that, as mmengine's runner, is part of a cycle."""
    model = DistributedDataParallel(nn.Linear(2, 2))
    model.runner = [model]
    model(torch.ones(1, 2)).sum().backward()
    distributed.broadcast_object_list(['the last message'])


@pytest.mark.skipif(not THREADS.is_dir(), reason='threads are listed on Linux alone')
def test_no_thread_of_the_group_outlives_it(launch):
    before, after = launch(__file__, processes=1).splitlines()
    assert 'pt_gloo_runloop' in before
    assert after == '[]'


def test_leaving_without_a_group_does_nothing():
    leave_process_group()
    assert not distributed.is_initialized()


if __name__ == '__main__':
    import mmlesion.register  # noqa: F401 (as in a training)

    distributed.init_process_group('gloo')
    train()
    print(gloo_threads())
    leave_process_group()
    print(gloo_threads())
