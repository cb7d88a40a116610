"""Sampling of 3D crops by lesion."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmdet.registry import DATA_SAMPLERS
from mmengine.dataset import BaseDataset

from mmlesion.utils import OptionError, UserError

from .epoch_sampler import EpochSampler


@DATA_SAMPLERS.register_module()
class LesionCropSampler(EpochSampler):
    """Sample crops around every lesion, and a fraction of crops anywhere, in each epoch.

    The sampling of the reference [9] of 3D Aggregated Faster R-CNN (Liao et al., 2017), which does
    not name its own: an epoch is a number of crops of each lesion, more of a large one, and as many
    of volumes drawn at random that these are ``random_share`` of all. No volume comes twice among
    the latter before all have come, unless they are drawn by size.

    Samples depend only on the seed and the epoch, so resumed runs reproduce uninterrupted ones, and
    several processes divide the samples of a single process.

    Args:
        dataset: :class:`~mmlesion.datasets.VolumeDataset` with ``by_lesion``, or a
            wrapper of it.
        crops_per_lesion: Diameters in mm, ascending, and the crops in an epoch of
            a lesion that is larger. Defaults to ((0, 1), (10, 3), (20, 7)), which DeepLung has for
            LUNA16; [9], on another benchmark, has ((6, 1), (30, 3), (40, 7)).
        random_share: Defaults to 0.3.
        seed: Random seed, identical in every process. Defaults to None, for a seed
            shared by the processes.
        by_size: Whether volumes are drawn in proportion to their voxels: of cubes around lesions
            and whole scans together, nearly all random crops are then of scans. Defaults to False.

    Raises:
        UserError: If the dataset is not by lesion, no lesion is large enough, there are no volumes
            for random crops, or an option makes no sense.
    """

    def __init__(
        self,
        dataset: BaseDataset,
        crops_per_lesion: Sequence[tuple[float, int]] = ((0, 1), (10, 3), (20, 7)),
        random_share: float = 0.3,
        seed: int | None = None,
        by_size: bool = False,
    ) -> None:
        super().__init__(seed)
        limits, crops = np.transpose(crops_per_lesion)
        if (np.diff(limits) <= 0).any() or (crops < 0).any():
            raise OptionError(
                f'crops_per_lesion={crops_per_lesion}: give ascending diameters in mm, each with a '
                'number of crops',
                self,
            )
        if not 0 <= random_share < 1:
            raise OptionError(
                f'random_share={random_share} of crops: give a value from 0 to below 1', self
            )
        samples, diameters, self.anywhere = [], [], []
        for index, lesion in enumerate(_targets(dataset)):
            if lesion is None:
                self.anywhere.append(index)
            else:
                samples.append(index)
                diameters.append(lesion['diameter_mm'])
        # how many limits a diameter exceeds
        exceeded = np.searchsorted(limits, diameters, side='left')
        # those below the first limit have no crop at all
        repeats = np.concatenate([[0], crops]).astype(int)[exceeded]
        self.aimed = np.repeat(np.array(samples, int), repeats).tolist()
        if not self.aimed:
            raise UserError(
                f'none of the {len(diameters)} lesions to train with is large enough for '
                f'crops_per_lesion={crops_per_lesion}: check the annotation file'
            )
        if random_share and not self.anywhere:
            raise UserError(
                'the dataset has no samples of volumes for crops that lie anywhere: leave indices '
                'out of it, which take its first samples alone, or set random_share=0'
            )
        # such that they are random_share of all crops
        self.num_random = round(len(self.aimed) * random_share / (1 - random_share))
        self.sizes = None
        if by_size:
            volumes = (dataset.get_data_info(index)['size'] for index in self.anywhere)
            self.sizes = torch.tensor([math.prod(size) for size in volumes], dtype=torch.double)

    def __iter__(self) -> Iterator[int]:
        """Iterate this process's indices into the dataset."""
        generator = self.generator()
        drawn: list[int] = []
        if self.sizes is not None and self.num_random:
            draws = torch.multinomial(self.sizes, self.num_random, True, generator=generator)
            drawn = draws.tolist()
        while len(drawn) < self.num_random:
            # a round of all, so that none comes twice before the others
            drawn += torch.randperm(len(self.anywhere), generator=generator).tolist()
        indices = self.aimed + [self.anywhere[i] for i in drawn[: self.num_random]]
        order = torch.randperm(len(indices), generator=generator).tolist()
        return iter(self.share([indices[i] for i in order]))

    def __len__(self) -> int:
        """Return the number of samples in this process."""
        return self.share_length(len(self.aimed) + self.num_random)


def _targets(dataset: BaseDataset) -> list[dict | None]:
    """Return the lesion of each sample of a dataset, or None."""
    samples = (dataset.get_data_info(index) for index in range(len(dataset)))
    try:
        return [sample['crop_target'] for sample in samples]
    except KeyError:
        raise UserError(
            'LesionCropSampler needs samples of lesions: set by_lesion=True in VolumeDataset'
        ) from None
