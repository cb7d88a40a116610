import platform
import resource

import numpy as np
import pytest

from mmlesion.utils.freed_memory import VARIABLES, keep_freed_memory, return_freed_memory

BLOCK = 64 << 20  # bytes, above what glibc ever keeps by itself
PAGES = BLOCK // 4096


@pytest.fixture
def environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch
    return_freed_memory()


def page_faults():
    """Return the faults of a block that is filled after one of the same size was freed."""
    np.ones(BLOCK, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(BLOCK, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='a setting of glibc')
def test_freed_pages_are_used_again(environment):
    assert return_freed_memory()
    # huge pages make it fewer, but never next to none
    given_back = page_faults()
    assert keep_freed_memory()
    kept = page_faults()
    assert given_back >= PAGES // 512 > kept


@pytest.mark.parametrize('name', VARIABLES)
def test_the_user_decides(environment, name):
    environment.setenv(name, '1000')
    assert not keep_freed_memory()


def test_a_library_without_the_setting(environment):
    environment.setattr('ctypes.CDLL', lambda name: object())
    assert not keep_freed_memory()
