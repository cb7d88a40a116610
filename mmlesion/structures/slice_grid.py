"""Slices between those of a series whose slices are far apart (LENS, section Data).

A position is a slice's number, or a fraction between two slices that follow one another. Each
distance of slices is divided into equal steps, so that the slices themselves lie on the grid: what
is found there needs no interpolation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable


def grid_steps(slice_interval: float | None, max_interval: float | None) -> int:
    """Return into how many steps the distance of two slices is divided.

    Args:
        slice_interval: Of the series, in mm; None if it is not known.
        max_interval: Largest step in mm; None for any.

    Returns:
        int: The least number of steps that are no longer, 1 where either is None.
    """
    if not slice_interval or max_interval is None:
        return 1
    # a thousandth of a step for intervals that are rounded, such as 2.0000001 mm
    return max(1, math.ceil(slice_interval / max_interval - 1e-3))


def grid_samples(samples: Iterable[dict], max_interval: float | None) -> list[dict]:
    """Add samples of the positions between slices that follow one another.

    Args:
        samples: Of slices of one series, each with ``slice_index``, and with
            ``slice_interval`` where it is known.
        max_interval: Largest step in mm; None for no positions in between.

    Returns:
        list[dict]: Each sample with ``grid_steps``, and behind it those up to the next slice. These
        have a fraction as ``slice_index`` and no ``instances``, but are as the slice's otherwise.
    """
    samples = list(samples)
    numbers = {sample['slice_index'] for sample in samples}
    grid = []
    for sample in samples:
        number = sample['slice_index']
        steps = grid_steps(sample.get('slice_interval'), max_interval)
        grid.append(dict(sample, grid_steps=steps))
        for step in range(1, steps if number + 1 in numbers else 1):
            between = dict(slice_index=number + step / steps, instances=[])
            grid.append({**grid[-1], **between})
    return grid
