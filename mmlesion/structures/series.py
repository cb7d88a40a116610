"""Series of CT slices, runs of consecutive slices, and sub-volumes.

Slices have the numbers of their files, which need not be consecutive; first and last ones are
inclusive.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from mmlesion.utils import UserError

MAX_SLICES = 100_000
"""Of a series; whoever lists the slices of a longer range would fill the memory."""
_NAME = re.compile(r'(.+)_(\d{1,9})-(\d{1,9})', re.ASCII)


class SliceRun(NamedTuple):
    """A run of consecutive slices.

    Args:
        first: Number of its first slice.
        last: Number of its last slice, inclusive.
    """

    first: int
    last: int


class SubVolume(NamedTuple):
    """A run of slices of a DeepLesion series, named as in LENS' manual test set.

    Args:
        series: The folder of its slices.
        first: Number of its first slice.
        last: Number of its last slice, inclusive.
    """

    series: str
    first: int
    last: int

    @property
    def name(self) -> str:
        """str: Name such as ``000046_03_02_086-104``."""
        return f'{self.series.replace("/", "_")}_{self.first:03d}-{self.last:03d}'

    @classmethod
    def parse(cls, name: str) -> SubVolume:
        """Read a name such as ``000046_03_02_086-104``.

        Raises:
            UserError: If it is not the name of a sub-volume.
        """
        match = _NAME.fullmatch(name)
        if match is None or not 0 <= int(match[3]) - int(match[2]) < MAX_SLICES:
            raise UserError(f'{name!r:.80} is no sub-volume such as 000046_03_02_086-104')
        return cls(match[1], int(match[2]), int(match[3]))

    @property
    def numbers(self) -> np.ndarray:
        """ndarray: (n,) int, the numbers of all its slices."""
        return np.arange(self.first, self.last + 1)

    def contains(self, numbers: np.ndarray) -> np.ndarray:
        """Return which slices of the series lie in the sub-volume.

        Args:
            numbers: (n,) slice numbers.

        Returns:
            ndarray: (n,) bool.
        """
        return (numbers >= self.first) & (numbers <= self.last)


def consecutive_runs(numbers: ArrayLike) -> list[SliceRun]:
    """Cut slice numbers into runs of consecutive ones.

    Args:
        numbers: (n,) int, in ascending order.

    Returns:
        list[SliceRun]: In their order.
    """
    numbers = np.asarray(numbers, int)
    # cut before each number that does not follow on the one before it
    runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
    return [SliceRun(int(run[0]), int(run[-1])) for run in runs if len(run)]


@dataclass
class SliceSeries:
    """A series: its slices and their COCO records.

    Attributes:
        name: Its folder under that of the images.
        slices: (n,) numbers of the slices that there are, ascending.
        files: (n,) names of their files, under the folder of the images.
        images: COCO images by the number of their slice.
        annotations: COCO annotations of these images.
    """

    name: str
    slices: np.ndarray
    files: list[str]
    images: dict[int, dict] = field(default_factory=dict)
    annotations: list[dict] = field(default_factory=list)

    @property
    def patient(self) -> int | str:
        """Return the patient's id, or the series' name if images have none."""
        return self._template.get('patient_id', self.name)

    @property
    def _template(self) -> dict:
        return next(iter(self.images.values()))  # a series has at least one listed image

    @property
    def sub_volumes(self) -> list[SubVolume]:
        """Return the existing runs of consecutive slices, in order."""
        runs = consecutive_runs(self.slices)
        return [SubVolume(self.name, run.first, run.last) for run in runs]

    @cached_property
    def _run_of(self) -> dict[int, SliceRun]:
        """By a slice's number, the run of consecutive slices that it lies in."""
        runs = consecutive_runs(self.slices)
        return {number: run for run in runs for number in range(run.first, run.last + 1)}

    def image(self, index: int) -> dict:
        """Return the COCO image of a slice; of one that the file does not list, a new one.

        Args:
            index: Its index in ``slices``.

        Returns:
            dict: A new one has no id but its series' fields, and the run of consecutive slices that
            it lies in as ``slice_range``.
        """
        # listed images are known by the slice's number, all slices by their place
        number = int(self.slices[index])
        if number in self.images:
            return self.images[number]
        # It has the fields of the series, taken from any listed image, and its own run of slices.
        slice_range = list(self._run_of[number])
        image = {key: value for key, value in self._template.items() if key != 'id'}
        image.update(file_name=self.files[index], slice_index=number, slice_range=slice_range)
        return image


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
