"""Base class of samplers whose epochs depend only on seed and epoch number."""

from __future__ import annotations

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler


class EpochSampler(Sampler):
    """Base class of samplers that draw new samples in each epoch.

    Samples depend only on the seed and the epoch, so resumed runs reproduce uninterrupted ones, and
    several processes divide the samples of a single process.

    Args:
        seed: Random seed, identical in every process. Defaults to None, for a seed
            shared by the processes.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0
        self.rank, self.world_size = get_dist_info()

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch to draw."""
        self.epoch = epoch

    def generator(self) -> torch.Generator:
        """torch.Generator: That of this epoch, the same in every process."""
        return torch.Generator().manual_seed(self.seed + self.epoch)

    def share(self, indices: list[int]) -> list[int]:
        """Return this process's part of a list, padded from its start to equal length."""
        # with these, all processes have equally many: every world_size-th index from their rank on
        missing = -len(indices) % self.world_size
        repeated = (indices * self.world_size)[:missing]
        return (indices + repeated)[self.rank :: self.world_size]

    def share_length(self, length: int) -> int:
        """Return the length of this process's part of a list of ``length``."""
        return -(-length // self.world_size)
