import os
import signal

import pytest
from mmdet.registry import MODELS
from torch._utils import ExceptionWrapper

from mmlesion.utils import UserError, cli
from mmlesion.utils.command_line import POLICY, explain, refuse_blanks, terminable


@pytest.fixture
def environment(monkeypatch):
    for name in (POLICY, 'GOMP_SPINCOUNT', 'KMP_BLOCKTIME'):
        monkeypatch.setenv(name, '')  # so that it is put back
        monkeypatch.delenv(name)
    return monkeypatch


def test_a_tool_lets_threads_sleep(environment):
    assert cli(lambda: os.environ[POLICY])() == 'PASSIVE'


@pytest.mark.parametrize(
    'name, value', [(POLICY, 'ACTIVE'), ('GOMP_SPINCOUNT', '100'), ('KMP_BLOCKTIME', '200')]
)
def test_the_user_decides(environment, name, value):
    environment.setenv(name, value)
    policy = 'ACTIVE' if name == POLICY else None
    assert cli(lambda: os.environ.get(POLICY))() == policy


def caught(function, *args, **kwargs):
    with pytest.raises(Exception) as info:
        function(*args, **kwargs)
    return info.value


def test_message_from_a_worker_keeps_its_own_lines():
    try:
        raise UserError('a.png: bad\nsee b: c')
    except UserError:
        wrapper = ExceptionWrapper(where='in DataLoader worker process 0')
    assert explain(caught(wrapper.reraise)) == 'a.png: bad\nsee b: c'


def test_missing_file():
    assert 'no/such.json' in explain(caught(open, 'no/such.json'))


def test_an_unknown_component():
    assert explain(caught(MODELS.build, dict(type='NoHead'))).startswith('NoHead is not in')


def test_other_errors_are_not_the_users():
    for error in (caught([].index, 1), caught({}.__getitem__, 'key'), caught(int, 'a')):
        assert explain(error) is None
    assert explain(caught(MODELS.build, dict(type='TruncatedRPNHead', treshold=1))) is None


@pytest.mark.parametrize(
    'option, refused',
    [
        ("test_evaluator.outfile_prefix='my run/froc'", True),
        ('a=my run', True),
        ('a=[1, 2]', False),
        ("a=( 'x', {'b' : 2} )", False),
        ("a='run'", False),
    ],
)
def test_blanks_that_mmengine_would_remove(option, refused):
    arguments = ['a file.py', '--work-dir', 'my run', '--cfg-options', 'b=1', option]
    if not refused:
        return refuse_blanks([*arguments, '--out', 'a=my run'])
    with pytest.raises(UserError, match='mmengine removes the blanks'):
        refuse_blanks(arguments)


def test_a_process_just_forked_ends_by_sigterm():
    """It has its parent's handler at first, and is not to go on in its parent's place."""
    with terminable():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 128 + signal.SIGTERM
