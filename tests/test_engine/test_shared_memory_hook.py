from collections import namedtuple
from unittest.mock import Mock, patch

import pytest

from mmlesion.engine import SharedMemoryHook

Usage = namedtuple('Usage', 'total used free')


@pytest.mark.parametrize(
    'free, workers, told', [(64e6, 2, True), (64e6, 0, False), (4e9, 2, False)]
)
@pytest.mark.parametrize('phase', ['train', 'test'])
def test_a_small_one_is_told_where_there_are_workers(phase, free, workers, told):
    loader = Mock(num_workers=workers)
    runner = Mock(**{f'{phase}_dataloader': loader})
    with patch('shutil.disk_usage', return_value=Usage(free, 0, free)):
        getattr(SharedMemoryHook(), f'before_{phase}')(runner)
    messages = [call.args[0] for call in runner.logger.warning.call_args_list]
    assert len(messages) == told
    if told:
        assert messages[0].startswith('/dev/shm has 64 MB left for the batches of 2 workers')
