"""Sampling by patient: the halves of a search, and pairs of lesions for an embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from mmdet.registry import DATA_SAMPLERS
from mmengine.dataset import BaseDataset, DefaultSampler
from torch.utils.data import Sampler

from mmlesion.utils import OptionError, UserError


@DATA_SAMPLERS.register_module()
class PatientHalfSampler(Sampler):
    """Sample one of two disjoint halves of a dataset, randomly split by patient.

    Both halves together are the whole dataset. A patient, however many slices there are of it, is
    in one of them; the patients are put in a random order and cut where the number of slices is
    nearest to one half. Shuffling and sharing between processes are mmengine's ``DefaultSampler``.

    Args:
        dataset: A dataset of mmdet, whose samples have ``patient_id``.
        half: 0 or 1.
        split_seed: Seed of the split. The same seed, the same halves. Defaults to 0.
        shuffle: Whether to shuffle the half before each epoch. Defaults to True.
        seed: Seed of the shuffling, the same in every process. Defaults to None,
            for one that the processes agree on.
        round_up: Whether to repeat samples until every process has as many. Defaults to
            True.

    Raises:
        UserError: If a sample has no patient, there are fewer than two, or ``half`` is neither 0
            nor 1.
    """

    def __init__(
        self,
        dataset: BaseDataset,
        half: int,
        split_seed: int = 0,
        shuffle: bool = True,
        seed: int | None = None,
        round_up: bool = True,
    ) -> None:
        if half not in (0, 1):
            raise OptionError(f'half={half!r} of a dataset: choose 0 or 1', self)
        self.dataset = dataset
        self.indices = split_by_patient(patients_of(dataset), split_seed)[half]
        self.positions = DefaultSampler(self.indices, shuffle, seed, round_up)

    def __iter__(self) -> Iterator[int]:
        """Iterate the indices into the whole dataset."""
        return (self.indices[position] for position in self.positions)

    def __len__(self) -> int:
        """Return the number of samples in this process."""
        return len(self.positions)

    def set_epoch(self, epoch: int) -> None:
        """Set the number of the epoch to shuffle."""
        self.positions.set_epoch(epoch)


def patients_of(dataset: BaseDataset) -> list[int | str]:
    """Return the patient of each sample of a dataset.

    Raises:
        UserError: If a sample has none.
    """
    samples = (dataset.get_data_info(index) for index in range(len(dataset)))
    patients = [sample.get('patient_id') for sample in samples]
    if None in patients:
        raise UserError(
            f'sample {patients.index(None)} of the dataset has no patient_id, by which it is '
            'split: give each image of the annotation file one'
        )
    return patients


def split_by_patient(patients: Sequence[int | str], seed: int) -> tuple[list[int], list[int]]:
    """Randomly split samples into two halves, so that no patient is in both.

    Args:
        patients: The patient of each sample.
        seed: Random seed.

    Returns:
        tuple[list[int], list[int]]: Indices of the samples of each half, in order.

    Raises:
        UserError: If there are fewer than two patients.
    """
    names, patient, counts = np.unique(patients, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise UserError(f'a dataset of {len(names)} patient(s) has no halves: it needs two')
    order = np.random.default_rng(seed).permutation(len(names))
    # slices of the first patients of the order, up to each but the last: both halves have some
    ends = counts[order].cumsum()[:-1]
    # the cut whose number of slices is nearest to one half
    first = order[: np.abs(ends - len(patients) / 2).argmin() + 1]
    in_first = np.isin(patient, first)
    return np.flatnonzero(in_first).tolist(), np.flatnonzero(~in_first).tolist()


@DATA_SAMPLERS.register_module()
class LesionPairSampler(DefaultSampler):
    """Sample pairs of views of the same lesion, for triplet losses.

    Each sample is followed by a random other one of its ``lesion_group`` or, if there is none, by
    itself, for which a random pipeline creates another view. An even ``batch_size`` thus has a
    positive pair for each sample. Samples depend only on the seed and the epoch.

    Args:
        dataset: :class:`~mmlesion.datasets.LesionPatchDataset`, or a ``ConcatDataset``.
        shuffle: As in mmengine. Defaults to True.
        seed: As in mmengine.
        round_up: As in mmengine. Defaults to True.
    """

    def __init__(
        self,
        dataset: BaseDataset,
        shuffle: bool = True,
        seed: int | None = None,
        round_up: bool = True,
    ) -> None:
        super().__init__(dataset, shuffle, seed, round_up)
        self.groups = [dataset.get_data_info(i)['lesion_group'] for i in range(len(dataset))]
        self.members: dict[str, list[int]] = {}
        for index, group in enumerate(self.groups):
            self.members.setdefault(group, []).append(index)

    def __iter__(self) -> Iterator[int]:
        """Iterate indices into the dataset, pair by pair."""
        # seeded by the epoch, so that a resumed run draws the same pairs
        rng = np.random.default_rng([self.seed, self.epoch, self.rank])
        for index in super().__iter__():
            others = [other for other in self.members[self.groups[index]] if other != index]
            yield index
            # a lesion that is annotated once is its own pair, augmented anew
            yield int(rng.choice(others or [index]))

    def __len__(self) -> int:
        """Return the number of samples in this process, two for each lesion."""
        return 2 * super().__len__()
