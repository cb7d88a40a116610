"""Distributed, resumable inference over many series with constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Callable

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import barrier, broadcast_object_list, get_dist_info
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm import tqdm

from mmlesion.io.resume import ARRAYS, Store
from mmlesion.structures import SliceSeries


class VolumeStore(Store):
    """Results of a pass, one file ``<volume>.npz`` of arrays by name per volume."""

    form = ARRAYS
    holds = 'results of a pass'
    refusal = (
        'holds results of another model, other options or other slices: give another --work-dir, '
        'or delete it to start again'
    )


class VolumePass:
    """Run a model over the slices of volumes.

    Each process takes its share of the volumes that are not finished, and each worker of its loader
    whole volumes of that share. A volume's results are written when all its slices are done; no
    more volumes are in memory than there are workers. A batch has inputs of one volume, as its
    size changes the rounding: results would depend on which volumes an earlier run has finished.

    Args:
        store: Store of the results.
        samples_of: Takes a :class:`SliceSeries`; gives a list, inputs of ``pipeline``.
        pipeline: Converts one of them to the model's input.
        predict: Returns, for collated inputs, a list with a dictionary of arrays each,
            which are concatenated along the first axis over a volume. No gradients are kept of it.
        batch_size: Inputs per batch, at most. Defaults to 4.
        num_workers: Number of loading processes. Defaults to 2.
    """

    def __init__(
        self,
        store: VolumeStore,
        samples_of: Callable[[SliceSeries], Sequence[dict]],
        pipeline: Callable[[dict], dict],
        predict: Callable[[dict], Sequence[dict[str, np.ndarray]]],
        batch_size: int = 4,
        num_workers: int = 2,
    ) -> None:
        self.store = store
        self.samples_of = samples_of
        self.pipeline = pipeline
        self.predict = predict
        self.batch_size = batch_size
        self.num_workers = num_workers

    def run(self, volumes: Sequence[SliceSeries], desc: str) -> None:
        """Process the volumes that are not finished.

        Args:
            volumes: All volumes.
            desc: Label of the progress bar.
        """
        rank, world_size = get_dist_info()
        left = [i for i, v in enumerate(volumes) if not self.store.is_finished(v.name)]
        shared = [left]
        broadcast_object_list(shared)  # what is not finished when the first process looks
        left = shared[0]
        # every world_size-th one from the rank on: shares differ by one volume at most
        share = [volumes[index] for index in left[rank::world_size]]
        loader = DataLoader(
            _VolumeBatches(share, self.samples_of, self.pipeline, self.batch_size),
            batch_size=None,  # what the dataset yields are batches
            num_workers=self.num_workers,
            collate_fn=tuple,
            worker_init_fn=_single_thread,
        )
        done = len(volumes) - len(left)
        total = done + len(share)
        with tqdm(total=total, initial=done, desc=desc, unit='volume', disable=rank > 0) as bar:
            self._collect(loader, share, bar)
        barrier()

    @torch.no_grad()
    def _collect(self, loader: DataLoader, share: Sequence[SliceSeries], bar: tqdm) -> None:
        results: dict[int, list[dict[str, np.ndarray]]] = {}
        for index, num_samples, inputs in loader:
            rows = results.setdefault(index, [])
            if inputs:
                rows += self.predict(pseudo_collate(inputs))
            if len(rows) == num_samples:
                # all samples of a model have arrays of the same names
                names = rows[0] if rows else ()
                arrays = {name: np.concatenate([row[name] for row in rows]) for name in names}
                self.store.save(share[index].name, arrays)
                del results[index]
                bar.update()


class _VolumeBatches(IterableDataset):
    """Yields (index of the volume, number of its samples, inputs), a volume without any once."""

    def __init__(
        self,
        volumes: Sequence[SliceSeries],
        samples_of: Callable[[SliceSeries], Sequence[dict]],
        pipeline: Callable[[dict], dict],
        batch_size: int,
    ) -> None:
        self.volumes = volumes
        self.samples_of = samples_of
        self.pipeline = pipeline
        self.batch_size = batch_size

    def __iter__(self) -> Iterator[tuple[int, int, list[dict]]]:
        worker = get_worker_info()
        # each worker takes whole volumes, every step-th from its own number on
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in range(first, len(self.volumes), step):
            samples = self.samples_of(self.volumes[index])
            for start in range(0, max(len(samples), 1), self.batch_size):
                taken = samples[start : start + self.batch_size]
                yield index, len(samples), [self.pipeline(sample) for sample in taken]


def _single_thread(_: int) -> None:
    # Threads of several workers would only get into each other's way.
    cv2.setNumThreads(0)
