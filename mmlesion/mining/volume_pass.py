"""Distributed, resumable inference over many series with constant memory."""

import json
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.dataset import pseudo_collate
from mmengine.dist import barrier, broadcast_object_list, get_dist_info
from torch.utils.data import DataLoader, IterableDataset, get_worker_info
from tqdm import tqdm

from mmlesion.io.atomic import atomic_write
from mmlesion.io.json_files import read_json
from mmlesion.utils import UserError


class VolumeStore:
    """Results of a pass, one file ``<volume>.npz`` per volume.

    Args:
        folder (str | Path): Output folder. It is created, or resumed if it belongs to the same run.
        fingerprint (str): Identifies the run.

    Raises:
        UserError: If the folder is of another run, or cannot be written.
    """

    def __init__(self, folder, fingerprint):
        self.folder = Path(folder)
        run = self.folder / 'run.json'
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if not run.exists():
                with atomic_write(run) as temporary:
                    temporary.write_text(json.dumps(dict(fingerprint=fingerprint)))
        except OSError as error:
            raise UserError(f'{folder} cannot be written: {error.strerror}') from None
        if read_json(run).get('fingerprint') != fingerprint:
            raise UserError(
                f'{folder} holds results of another model, other options or other slices: give '
                'another --work-dir, or delete it to start again'
            )

    @classmethod
    def open(cls, folder):
        """Open the results of an earlier pass without checking their origin.

        Args:
            folder (str | Path): Where.

        Returns:
            VolumeStore: The same store.

        Raises:
            UserError: If it is none.
        """
        run = Path(folder) / 'run.json'
        if not run.exists():
            raise UserError(f'{folder} holds no results of a pass: there is no {run.name} in it')
        return cls(folder, read_json(run).get('fingerprint'))

    def path(self, name):
        """Return the file of a volume."""
        return self.folder / f'{name.replace("/", "--")}.npz'

    def save(self, name, arrays):
        """Write a volume's arrays by name, atomically."""
        with atomic_write(self.path(name)) as temporary:
            np.savez_compressed(temporary, **arrays)

    def load(self, name):
        """Read a volume's arrays by name."""
        with np.load(self.path(name), allow_pickle=False) as arrays:
            return dict(arrays)


class VolumePass:
    """Run a model over the slices of volumes.

    Each process takes its share of the volumes that are not finished, and each worker of its loader
    whole volumes of that share. A volume's results are written when all its slices are done; no
    more volumes are in memory than there are workers.

    Args:
        store (VolumeStore): Store of the results.
        samples_of (callable): Takes a :class:`SliceSeries`; gives a list, inputs of ``pipeline``.
        pipeline (callable): Converts one of them to the model's input.
        predict (callable): Returns, for collated inputs, a list with a dictionary of arrays each,
            which are concatenated along the first axis over a volume. No gradients are kept of it.
        batch_size (int): Inputs per batch. Defaults to 4.
        num_workers (int): Number of loading processes. Defaults to 2.
    """

    def __init__(self, store, samples_of, pipeline, predict, batch_size=4, num_workers=2):
        self.store = store
        self.samples_of = samples_of
        self.pipeline = pipeline
        self.predict = predict
        self.batch_size = batch_size
        self.num_workers = num_workers

    def run(self, volumes, desc):
        """Process the volumes that are not finished.

        Args:
            volumes (list[SliceSeries]): All volumes.
            desc (str): Label of the progress bar.
        """
        rank, world_size = get_dist_info()
        todo = [[i for i, v in enumerate(volumes) if not self.store.path(v.name).exists()]]
        broadcast_object_list(todo)  # what is not finished when the first process looks
        share = [volumes[index] for index in todo[0][rank::world_size]]
        loader = DataLoader(
            _VolumeSamples(share, self.samples_of, self.pipeline),
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            collate_fn=list,
            worker_init_fn=_single_thread,
        )
        done = len(volumes) - len(todo[0])
        total = done + len(share)
        with tqdm(total=total, initial=done, desc=desc, unit='volume', disable=rank > 0) as bar:
            self._collect(loader, share, bar)
        barrier()

    @torch.no_grad()
    def _collect(self, loader, share, bar):
        results = {}
        for batch in loader:
            inputs = [data for _, _, data in batch if data is not None]
            found = iter(self.predict(pseudo_collate(inputs)) if inputs else ())
            for index, count, data in batch:
                rows = results.setdefault(index, [])
                rows += [] if data is None else [next(found)]
                if len(rows) == count:
                    self.store.save(share[index].name, _joined(results.pop(index)))
                    bar.update()


class _VolumeSamples(IterableDataset):
    """Yields (volume's index, its number of samples, a sample or None if it has none)."""

    def __init__(self, volumes, samples_of, pipeline):
        self.volumes = volumes
        self.samples_of = samples_of
        self.pipeline = pipeline

    def __iter__(self):
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for index in range(first, len(self.volumes), step):
            samples = self.samples_of(self.volumes[index])
            if not samples:
                yield index, 0, None
            for sample in samples:
                yield index, len(samples), self.pipeline(sample)


def _joined(rows):
    names = rows[0] if rows else ()
    return {name: np.concatenate([row[name] for row in rows]) for name in names}


def _single_thread(_):
    # Threads of several workers would only get into each other's way.
    cv2.setNumThreads(0)
