"""Sampling of slices with and without lesions from one or several datasets."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import chain

import torch
from mmdet.registry import DATA_SAMPLERS
from mmengine.dataset import BaseDataset
from torch.utils.data import BatchSampler
from tqdm import tqdm

from mmlesion.utils import OptionError, UserError

from .epoch_sampler import EpochSampler

SERIES_KEYS = 'patient_id', 'study_id', 'series_id'


@DATA_SAMPLERS.register_module()
class LesionSliceSampler(EpochSampler):
    """Sample slices with and without lesions, two to one in each epoch (LENS, Implementation).

    For each lesion annotated on several slices, which share its ``lesion_id``, an epoch has one
    random slice; all slices whose lesions have no ``lesion_id`` are included. Half as many slices
    without lesions are drawn at random, or all if there are fewer; these include slices with only
    uncertain lesions. In a ``ConcatDataset`` this applies to each of its datasets, and their slices
    follow one dataset after another: :class:`SingleDatasetBatchSampler` forms batches of them and
    shuffles these.

    Samples depend only on the seed and the epoch, so resumed runs reproduce uninterrupted ones, and
    several processes divide the samples of a single process. Slices without lesions need
    ``filter_cfg=dict(filter_empty_gt=False)`` in the datasets.

    Args:
        dataset: A dataset of mmdet, or a ``ConcatDataset`` of them.
        positive_ratio: Slices with lesions for one without. Defaults to 2.
        shuffle: Whether new slices are drawn and shuffled before each epoch; otherwise the
            order is that of the dataset. Defaults to True.
        seed: Random seed, identical in every process. Defaults to None, for a seed
            shared by the processes.

    Raises:
        UserError: If a dataset has no slice with a lesion, or ``positive_ratio`` is not positive.
    """

    def __init__(
        self,
        dataset: BaseDataset,
        positive_ratio: float = 2,
        shuffle: bool = True,
        seed: int | None = None,
    ) -> None:
        if positive_ratio <= 0:
            raise OptionError(f'positive_ratio={positive_ratio} of slices must be positive', self)
        super().__init__(seed)
        self.dataset = dataset
        self.shuffle = shuffle
        self.sources = []
        for first, last in _extents(dataset):
            self.sources.append(_Source(dataset, first, last, positive_ratio))

    def source_indices(self) -> list[list[int]]:
        """Draw this epoch's share of this process.

        Returns:
            list[list[int]]: Indices into ``dataset``, of each of its datasets; as many in every
            process, for which the first ones are repeated.
        """
        generator = self.generator()
        return [self.share(source.draw(generator, self.shuffle)) for source in self.sources]

    def __iter__(self) -> Iterator[int]:
        """Iterate this process's indices, one dataset after another."""
        return chain.from_iterable(self.source_indices())

    def __len__(self) -> int:
        """Return the number of slices of this process in an epoch."""
        return sum(self.source_lengths)

    @property
    def source_lengths(self) -> list[int]:
        """list[int]: The number of slices of this process in an epoch, of each dataset."""
        return [self.share_length(len(source)) for source in self.sources]


class _Source:
    """The slices ``first`` to ``last`` of a dataset, grouped for drawing an epoch."""

    def __init__(self, dataset: BaseDataset, first: int, last: int, positive_ratio: float) -> None:
        self.lesions, self.negatives = _group(dataset, first, last)
        if not self.lesions:
            raise UserError(
                f'none of the slices {first} to {last - 1} of the training data, which are those '
                'of one dataset, has a lesion to train with: check its annotations and classes'
            )
        self.num_negatives = min(round(len(self.lesions) / positive_ratio), len(self.negatives))

    def __len__(self) -> int:
        return len(self.lesions) + self.num_negatives

    def draw(self, generator: torch.Generator, shuffle: bool) -> list[int]:
        """Draw the indices of an epoch: a slice of each lesion, and negatives."""
        if not shuffle:
            return [slices[0] for slices in self.lesions] + self.negatives[: self.num_negatives]
        draws = torch.rand(len(self.lesions), generator=generator).tolist()
        positives = []
        for slices, draw in zip(self.lesions, draws):
            # draws are below 1, so that the index is a slice's
            positives.append(slices[int(draw * len(slices))])
        chosen = torch.randperm(len(self.negatives), generator=generator)[: self.num_negatives]
        negatives = torch.tensor(self.negatives, dtype=torch.long)[chosen]
        indices = torch.cat([torch.tensor(positives), negatives])
        order = torch.randperm(len(indices), generator=generator)
        return indices[order].tolist()


def _extents(dataset: BaseDataset) -> list[tuple[int, int]]:
    """Return the index range of each dataset of a ``ConcatDataset``, or of the only dataset."""
    ends = getattr(dataset, 'cumulative_sizes', [len(dataset)])
    # each begins where the one before it ends; the ends are exclusive
    return list(zip([0] + ends[:-1], ends))


def _group(dataset: BaseDataset, first: int, last: int) -> tuple[list[list[int]], list[int]]:
    """Group a dataset's slices.

    Returns:
        tuple: The slices of each lesion, list[list[int]], where a slice whose lesions have no
        identity is a separate group; and the slices without lesions, list[int].
    """
    lesions: dict[Hashable, list[int]] = {}
    negatives: list[int] = []
    for index in tqdm(range(first, last), desc='slices with lesions', delay=3, leave=False):
        sample = dataset.get_data_info(index)
        if all(instance['ignore_flag'] for instance in sample['instances']):
            negatives.append(index)
            continue
        series = tuple(sample.get(key) for key in SERIES_KEYS)
        # A slice without lesion_ids is a separate group, under its index.
        keys = [(series, lesion_id) for lesion_id in sample.get('lesion_ids', [])]
        for key in keys or [index]:
            lesions.setdefault(key, []).append(index)
    return list(lesions.values()), negatives


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
