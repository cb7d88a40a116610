from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from mmlesion.utils.distributed import leave_process_group

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
