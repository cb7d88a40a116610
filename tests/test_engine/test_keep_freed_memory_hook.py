import platform
import subprocess
import sys

import pytest

from mmlesion.engine import KeepFreedMemoryHook
from mmlesion.utils import memory

# A process of its own: this one may have more free memory than the block takes.
FAULTS = """
import resource
import numpy as np
from mmlesion.engine import KeepFreedMemoryHook

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(64 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def of_the_second_block():
    page_faults()
    return page_faults()

hook = KeepFreedMemoryHook()
hook.before_run(None)
kept = of_the_second_block()
hook.after_run(None)
print(kept, of_the_second_block())
"""
PAGES = (64 << 20) // 4096


@pytest.fixture
def settings(monkeypatch):
    """Record what the hook sets instead of setting it."""
    for name in memory.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    calls = []
    monkeypatch.setattr(memory, '_set', lambda values: calls.append(values) or True)
    monkeypatch.setattr('mmlesion.engine.hooks.memory_hooks.trim_freed_memory', bool)
    return calls


def run(device, monkeypatch):
    monkeypatch.setattr('mmlesion.engine.hooks.memory_hooks.get_device', lambda: device)
    hook = KeepFreedMemoryHook()
    hook.before_run(None)
    hook.after_run(None)


@pytest.mark.skipif(platform.libc_ver()[0] != 'glibc', reason='a setting of glibc')
def test_pages_are_used_again_until_the_run_ends(monkeypatch):
    for name in memory.VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')
    command = [sys.executable, '-c', FAULTS]
    numbers = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    kept, afterwards = map(int, numbers)
    # huge pages make it fewer, but never next to none
    assert afterwards >= PAGES // 512 > kept


def test_nothing_is_set_on_a_gpu(settings, monkeypatch):
    run('cuda', monkeypatch)
    assert settings == []


def test_a_processor_and_what_the_user_has_decided(settings, monkeypatch):
    run('cpu', monkeypatch)
    assert len(settings) == 2
    monkeypatch.setenv('MALLOC_TRIM_THRESHOLD_', '1000')
    run('cpu', monkeypatch)
    assert len(settings) == 2
