import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mmlesion.utils.distributed import leave_process_group

ROOT = Path(__file__).parents[2]
THREADS = Path('/proc/self/task')


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
def test_no_thread_of_the_group_outlives_it():
    address = dict(MASTER_ADDR='127.0.0.1', MASTER_PORT='29657', RANK='0', WORLD_SIZE='1')
    done = subprocess.run(
        [sys.executable, __file__],
        capture_output=True,
        encoding='utf-8',
        timeout=120,
        env=dict(os.environ, PYTHONPATH=str(ROOT), **address),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    before, after = done.stdout.splitlines()
    assert 'pt_gloo_runloop' in before
    assert after == '[]'


def test_leaving_without_a_group_does_nothing():
    leave_process_group()
    assert not distributed.is_initialized()


if __name__ == '__main__':
    distributed.init_process_group('gloo')
    train()
    print(gloo_threads())
    leave_process_group()
    print(gloo_threads())
