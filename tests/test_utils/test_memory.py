import platform
import subprocess
import sys

import pytest

from mmlesion.utils.memory import (
    VARIABLES,
    keep_freed_memory,
    return_freed_memory,
    trim_freed_memory,
)

# A process of its own: this one may have more free memory than the block takes.
FAULTS = """
import resource
import numpy as np
from mmlesion.utils.memory import keep_freed_memory, return_freed_memory
BLOCK = 64 << 20  # bytes, above what glibc ever keeps by itself

def page_faults():
    np.ones(BLOCK, np.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(BLOCK, np.uint8)  # after one of the same size was freed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

assert return_freed_memory()
given_back = page_faults()
assert keep_freed_memory()
print(given_back, page_faults())
"""
PAGES = (64 << 20) // 4096


@pytest.fixture
def environment(monkeypatch):
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield monkeypatch
    return_freed_memory()


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='a setting of glibc')
def test_freed_pages_are_used_again(environment):
    command = [sys.executable, '-c', FAULTS]
    numbers = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    given_back, kept = map(int, numbers)
    # huge pages make it fewer, but never next to none
    assert given_back >= PAGES // 512 > kept


TRIMMED = """
import numpy as np
from mmlesion.utils.memory import keep_freed_memory, trim_freed_memory

def resident():
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1])  # pages

assert keep_freed_memory()
np.ones(64 << 20, np.uint8)
kept = resident()
assert trim_freed_memory()
print(kept - resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='a function of glibc')
def test_kept_memory_is_given_back_when_it_is_trimmed(environment):
    command = [sys.executable, '-c', TRIMMED]
    pages = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert pages > 0.9 * PAGES


@pytest.mark.parametrize('name', VARIABLES)
def test_the_user_decides(environment, name):
    environment.setenv(name, '1000')
    assert not keep_freed_memory()


def test_a_library_without_the_setting(environment):
    environment.setattr('ctypes.CDLL', lambda name: object())
    assert not keep_freed_memory()
    assert not trim_freed_memory()
