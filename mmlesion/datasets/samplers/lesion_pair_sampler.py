"""Sampling of lesion pairs for metric learning."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from mmdet.registry import DATA_SAMPLERS
from mmengine.dataset import BaseDataset, DefaultSampler


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
