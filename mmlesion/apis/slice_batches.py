"""The slices of a volume in batches, in the order in which they share most features."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from mmengine.dataset import Compose, pseudo_collate
from torch import nn

from ..structures.ct_volume import CTVolume
from ..utils.parallel import prefetch


class SliceBatch(NamedTuple):
    """Some key slices of a volume.

    Args:
        indices: Of the key slices.
        data: Their collated inputs, as ``test_step`` takes them.
    """

    indices: list[float]
    data: dict


def chained_order(num_slices: int, distance: float) -> np.ndarray:
    """Order key slices so that each is followed by the one that shares features with it.

    Groups of slices are found again at a key slice a whole group further, such as 6 mm. In chains
    of such key slices a group is needed again at once: two groups have to be kept, whatever the
    slice interval, instead of all that are computed on the way to it.

    Args:
        num_slices: Slices of the volume.
        distance: From a key slice to the next one with a common group, in slices. If it is
            not a whole number, nothing is shared.

    Returns:
        ndarray: (num_slices,) indices of the key slices.
    """
    step = round(distance)
    # nothing is shared between other slices than neighbors, or where slices are interpolated
    if step < 2 or abs(distance - step) > 1e-4:
        return np.arange(num_slices)
    # chains 0, step, 2 step, ...; then 1, 1 + step, ...: each slice lies in one of them
    starts = np.arange(min(step, num_slices))
    return np.concatenate([np.arange(start, num_slices, step) for start in starts])


def load_batches(
    volume: CTVolume, pipeline: Compose, order: np.ndarray, batch_size: int
) -> Iterator[SliceBatch]:
    """Iterate over the slices of a volume; the next batch is loaded while one is used.

    Args:
        volume: The volume.
        pipeline: Begins with ``LoadCTSlicesFromVolume``.
        order: (n,) indices of key slices, or positions between two.
        batch_size: Most slices of a batch.
    """
    # batch_size slices each, the last chunk perhaps fewer
    chunks = np.split(order, range(batch_size, len(order), batch_size))
    return prefetch(partial(_load, volume, pipeline), chunks)


def slice_sample(volume: CTVolume, index: float) -> dict:
    """Return the sample of a slice that the pipeline of :func:`load_batches` takes."""
    return dict(
        volume=volume.array,
        spacing=list(volume.spacing[:2]),
        slice_interval=volume.spacing[2],
        height=volume.array.shape[1],
        width=volume.array.shape[2],
        slice_index=index,
        img_id=index,
        img_path=f'slice {index:g}',
    )


def _load(volume: CTVolume, pipeline: Compose, indices: np.ndarray) -> SliceBatch:
    inputs = [pipeline(slice_sample(volume, index)) for index in indices.tolist()]
    return SliceBatch(indices.tolist(), pseudo_collate(inputs))


@contextmanager
def shared_features(model: nn.Module, size: int) -> Iterator[None]:
    """Let a detector keep features for the next key slices, where its parts can.

    Args:
        model: The detector.
        size: Most images whose features a part keeps; 0 computes each anew.
    """
    parts: list[Any] = [part for part in model.modules() if hasattr(part, 'share_features')]
    try:
        for part in parts:
            part.share_features(size)
        yield
    finally:
        for part in parts:
            # also after an error: features of another volume must not be found later
            part.share_features(0)


def sharing_distance(model: nn.Module) -> int:
    """Return how many channels of the input two key slices that share features are apart.

    Args:
        model: The detector.

    Returns:
        int: ``sharing_distance`` of its part that shares features, 1 without such a part.
    """
    distances = [getattr(part, 'sharing_distance', 1) for part in model.modules()]
    return max(distances)
