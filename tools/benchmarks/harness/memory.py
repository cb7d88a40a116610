"""The memory that a computation adds at its peak."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

from mmlesion.utils import UserError

STATUS = Path('/proc/self/smaps_rollup')
SAMPLED = 0.005  # seconds


def check_memory(device: str) -> None:
    """Check that the memory of a device can be measured.

    Raises:
        UserError: If it is this process's memory, and the system does not report it.
    """
    if not device.startswith('cuda') and not STATUS.is_file():
        raise UserError(f'there is no {STATUS} to read memory from: use Linux, or --device cuda')


class PeakMemory:
    """The most memory that is added while a block runs.

    Args:
        device: A GPU's allocations are its own count; a processor's are sampled.

    Attributes:
        mib: When the block has ended, MiB.
    """

    def __init__(self, device: str) -> None:
        self.device = device

    @property
    def is_gpu(self) -> bool:
        """bool: Whether it is a GPU's memory."""
        return self.device.startswith('cuda')

    def __enter__(self) -> PeakMemory:
        self.ended = threading.Event()
        if self.is_gpu:
            import torch

            torch.cuda.reset_peak_memory_stats(self.device)
            self.before = torch.cuda.memory_allocated(self.device)
            return self
        gc.collect()  # otherwise earlier garbage would be freed during the block
        self.before = self.highest = private_bytes()
        self.sampler = threading.Thread(target=self._sample, daemon=True)
        self.sampler.start()
        return self

    def _sample(self) -> None:
        while not self.ended.wait(SAMPLED):
            self.highest = max(self.highest, private_bytes())

    def __exit__(self, *error: Any) -> None:
        self.ended.set()
        if self.is_gpu:
            import torch

            self.highest = torch.cuda.max_memory_allocated(self.device)
        else:
            self.sampler.join()
        self.mib = (self.highest - self.before) / 2**20


def private_bytes() -> int:
    """Return the resident memory of this process without mapped files, in bytes."""
    # status has it too, but the kernel may count huge pages there only later
    _, _, after = STATUS.read_text().partition('Anonymous:')
    return int(after.split()[0]) * 1024  # kB
