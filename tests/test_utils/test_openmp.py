import os

import pytest

from mmlesion.utils import cli
from mmlesion.utils.openmp import POLICY


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
