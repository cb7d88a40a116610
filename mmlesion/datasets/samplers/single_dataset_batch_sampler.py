"""Batches drawn from one dataset at a time."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmdet.registry import DATA_SAMPLERS
from torch.utils.data import BatchSampler

from mmlesion.utils import UserError

from .lesion_slice_sampler import LesionSliceSampler


@DATA_SAMPLERS.register_module()
class SingleDatasetBatchSampler(BatchSampler):
    """Sample batches from a single dataset of a ``ConcatDataset`` each, in random order.

    LENS, section Implementation: "each batch had 4 images sampled from the same dataset". The order
    of the batches is drawn by the sampler's seed and epoch, the same in every process: at every
    step all processes have batches of the same dataset, and together the images that one process
    with as large a batch would have.

    Args:
        sampler: Draws the slices of an epoch.
        batch_size: Images in a batch of a process.
        drop_last: Whether to leave out a dataset's last batch if it is smaller. Defaults to
            False.

    Raises:
        UserError: If the sampler is another one.
    """

    sampler: LesionSliceSampler

    def __init__(
        self, sampler: LesionSliceSampler, batch_size: int, drop_last: bool = False
    ) -> None:
        if not hasattr(sampler, 'source_indices'):
            raise UserError(
                f'SingleDatasetBatchSampler cannot tell the datasets of {type(sampler).__name__} '
                "apart: set sampler=dict(type='LesionSliceSampler')"
            )
        super().__init__(sampler, batch_size, drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        """Iterate batches, lists of indices."""
        batches = []
        for indices in self.sampler.source_indices():
            starts = range(0, len(indices), self.batch_size)
            batches += [indices[start : start + self.batch_size] for start in starts]
        if self.drop_last:
            batches = [batch for batch in batches if len(batch) == self.batch_size]
        order = torch.randperm(len(batches), generator=self.sampler.generator())
        return (batches[i] for i in order.tolist())

    def __len__(self) -> int:
        """Return the number of batches of this process in an epoch."""
        # floor division with it rounds up
        extra = 0 if self.drop_last else self.batch_size - 1
        return sum((length + extra) // self.batch_size for length in self.sampler.source_lengths)
