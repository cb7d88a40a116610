import mmap

import numpy as np
from harness.timing import PeakMemory


def test_memory_is_seen():
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    with PeakMemory('cpu') as peak:
        # 64 MiB that are new: np.ones may take what the process has left over from other tests
        block = np.frombuffer(mmap.mmap(-1, 2**26, flags))
        for _ in range(20):
            block += 1
    assert 60 < peak.mib < 120
