"""Sampling of 3D proposals at a fixed ratio of false positives to lesions."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from mmdet.registry import DATA_SAMPLERS
from mmengine.dataset import BaseDataset

from mmlesion.utils import OptionError, UserError

from .epoch_sampler import EpochSampler


@DATA_SAMPLERS.register_module()
class ProposalRatioSampler(EpochSampler):
    """Sample all lesion proposals and a multiple of false positives (LENS, Implementation).

    "The ratio of TP and FP is 1:2 in each epoch": the false positives are drawn anew for each
    epoch, or are all of them where there are fewer. Samples depend only on the seed and the epoch,
    so resumed runs reproduce uninterrupted ones, and several processes divide the samples of a
    single process.

    Args:
        dataset: :class:`~mmlesion.datasets.ProposalPatchDataset`, labeled, or a
            ``ConcatDataset`` of such.
        negative_ratio: False positives for one lesion. Defaults to 2.
        seed: Random seed, identical in every process. Defaults to None, for a seed
            shared by the processes.

    Raises:
        UserError: If no proposal is a lesion, samples have no labels, or ``negative_ratio`` is
            negative.
    """

    def __init__(
        self, dataset: BaseDataset, negative_ratio: float = 2, seed: int | None = None
    ) -> None:
        if negative_ratio < 0:
            raise OptionError(
                f'negative_ratio={negative_ratio} of proposals must not be negative', self
            )
        super().__init__(seed)
        samples = map(dataset.get_data_info, range(len(dataset)))
        # None, of a sample without a label, equals neither
        labels = np.array([sample.get('proposal_label') for sample in samples])
        self.positives = np.flatnonzero(labels == 1).tolist()
        self.negatives = np.flatnonzero(labels == 0).tolist()
        if not self.positives:
            raise UserError(
                f'none of the {len(labels)} proposals to train with is labeled as a lesion: check '
                'the annotation file and --images of tools/label_proposals.py'
            )
        self.num_negatives = min(round(negative_ratio * len(self.positives)), len(self.negatives))

    def __iter__(self) -> Iterator[int]:
        """Iterate this process's indices into the dataset."""
        generator = self.generator()
        drawn = torch.randperm(len(self.negatives), generator=generator)[: self.num_negatives]
        indices = self.positives + [self.negatives[i] for i in drawn.tolist()]
        order = torch.randperm(len(indices), generator=generator).tolist()
        return iter(self.share([indices[i] for i in order]))

    def __len__(self) -> int:
        """Return the number of proposals of this process in an epoch."""
        return self.share_length(len(self.positives) + self.num_negatives)
