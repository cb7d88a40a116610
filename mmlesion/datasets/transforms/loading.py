"""Loading of CT slices with their neighbors as the channels of an image."""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Callable

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmdet.registry import TRANSFORMS
from mmengine.fileio import get

from mmlesion.io.schema import HU_OFFSET
from mmlesion.io.slices import read_slice, slice_path
from mmlesion.structures.series import MAX_SLICES
from mmlesion.utils import OptionError, UserError


@TRANSFORMS.register_module()
class LoadCTSlices(BaseTransform):
    """Load a key slice and its neighbors, in HU, as the channels of one image.

    The neighbors lie at multiples of ``slice_interval`` mm above and below the key slice, linearly
    interpolated between two stored slices. A missing neighbor is replaced by the nearest existing
    slice (of two equally near, the one nearer to the key slice). This is the input of the improved
    RetinaNet (improved RetinaNet, section 3.1) and of ElixirNet: three slices at 2 mm.

    Required Keys:

    - img_path: ends in the slice's number, e.g. ``000089_01_01/037.png``
    - slice_index, slice_range, slice_interval (only where ``num_slices`` is over 1); a fraction as
      ``slice_index`` is a key slice between two, interpolated as its neighbors are

    Added Keys:

    - img (np.float32): (H, W, num_slices) HU, channels in ascending order of slice index
    - img_shape
    - ori_shape
    - slice_distance (float): mm between the channels, where there are several and it is known

    Args:
        num_slices: Number of slices, odd. Defaults to 3.
        slice_interval: Distance of neighbors in mm; None takes the adjacent
            slices whatever their distance. Defaults to 2.0.
        upsample: Whether slices further apart than ``slice_interval`` are interpolated to
            it. False takes adjacent ones, as AlignShift does, which weighs them by their distance.
            Defaults to True.
        hu_scale: HU = hu_scale * stored value + hu_offset. Defaults to 1.0.
        hu_offset: Defaults to -32768.0, as DeepLesion's 16-bit PNG have it.
        backend_args: mmengine's file backend. Defaults to None.
        cache_size: Decoded slices that each process keeps, those used last: 512 KiB for one
            of 512 px. For workers that see slices again (docs/speed.md). Defaults to 0.
        key_reach: For training: the key slice is exchanged at random for a slice nearer
            than this share of the lesion's short radius, the smallest of those on the slice; its
            boxes stay. Nearer slices are likelier, and one that does not exist is not taken. 0.5
            in MULAN's config, on which LENS builds. Needs ``spacing``, ``instances`` and, for short
            diameters below a box's shorter side, ``recist``. Defaults to 0.

    Raises:
        UserError: If the key slice is missing, a slice is unreadable or of another size than the
            key slice, or a CT field is missing.
    """

    def __init__(
        self,
        num_slices: int = 3,
        slice_interval: float | None = 2.0,
        upsample: bool = True,
        hu_scale: float = 1.0,
        hu_offset: float = -float(HU_OFFSET),
        backend_args: dict | None = None,
        cache_size: int = 0,
        key_reach: float = 0.0,
    ) -> None:
        if cache_size < 0:
            raise OptionError(f'cache_size must be 0 or more slices, but got {cache_size}', self)
        if num_slices < 1 or num_slices % 2 == 0:
            raise OptionError(f'num_slices must be odd and positive, but got {num_slices}', self)
        if slice_interval is not None and not slice_interval > 0:
            raise OptionError(
                f'slice_interval must be positive or None, but got {slice_interval}', self
            )
        self.num_slices = num_slices
        self.slice_interval = slice_interval
        self.upsample = upsample
        self.hu_scale = hu_scale
        self.hu_offset = hu_offset
        self.backend_args = backend_args
        self.cache_size = cache_size
        self.key_reach = key_reach
        self._cache: OrderedDict[str, np.ndarray] = OrderedDict()
        self._fetch = functools.partial(get, backend_args=backend_args)

    def transform(self, results: dict) -> dict:
        """Load the slices.

        Args:
            results: A sample.

        Returns:
            dict: The sample with ``img``, ``img_shape`` and ``ori_shape``.
        """
        # neighbors at a fraction of a slice share the slices that they are interpolated from
        read = functools.lru_cache(maxsize=None)(functools.partial(self._read, results))
        key, key_range = self._key_and_range(results)
        key_slice = read(int(key))
        if key_slice is None:
            raise UserError(f'key slice {results["img_path"]} does not exist: check data_prefix')
        results.setdefault('height', key_slice.shape[0])
        results.setdefault('width', key_slice.shape[1])
        if self.key_reach:
            other = int(key) + self._draw_shift(results)
            if key_range[0] <= other <= key_range[1] and read(other) is not None:
                key = other
        nearest = functools.partial(_nearest_existing, read, key, key_range)
        slices = [_interpolate(nearest, z) for z in self._positions(results, key, key_range)]
        if self.num_slices > 1 and results.get('slice_interval'):
            results['slice_distance'] = self.step(results) * results['slice_interval']
        height, width = slices[0].shape
        results['img'] = cv2.merge(slices).reshape(height, width, self.num_slices)
        results['img_shape'] = results['ori_shape'] = (height, width)
        return results

    @cache_randomness
    def _draw_shift(self, results: dict) -> int:
        """Draw how many slices from the annotated one the key slice lies, as MULAN does."""
        reach = int(self.key_reach * _short_radius(results) / _ct_field(results, 'slice_interval'))
        if reach == 0:
            return 0
        weights = np.arange(reach, 0, -1)  # of the distances 0 to reach - 1
        distance = np.random.choice(reach, p=weights / weights.sum())
        return int(distance * np.random.choice([-1, 1]))

    def step(self, results: dict) -> float:
        """Return the distance of the channels in stored slices.

        Args:
            results: A sample with ``slice_interval``.
        """
        if self.slice_interval is None or self.num_slices == 1:
            return 1.0
        interval = _ct_field(results, 'slice_interval')
        if not isinstance(interval, (int, float)) or not interval > 0:
            raise UserError(
                f'{results.get("img_path")}: slice_interval {interval} is not positive: '
                'correct it in mm, or load with slice_interval=None'
            )
        step = self.slice_interval / interval
        return step if self.upsample else max(step, 1.0)

    def _positions(self, results: dict, key: float, key_range: Sequence[int]) -> list[float]:
        """Return the fractional slice indices of the channels."""
        step = self.step(results)
        # the key slice is the middle channel; whole numbers are exact, so that one slice is read
        offsets = np.arange(self.num_slices) - self.num_slices // 2
        first, last = key_range
        return np.round(key + offsets * step, 6).clip(first, last).tolist()

    def _key_and_range(self, results: dict) -> tuple[float, tuple[int, int]]:
        if self.num_slices == 1:
            key = results.get('slice_index', 0)
            return key, (math.floor(key), math.ceil(key))
        key = _ct_field(results, 'slice_index')
        numbers = (*self._slice_range(results), key)
        whole = all(isinstance(number, (int, np.integer)) for number in numbers[:-1])
        if len(numbers) != 3 or not whole or not isinstance(key, (int, float, np.integer)):
            raise UserError(
                f'{results.get("img_path")}: slice_range and slice_index are {numbers!r:.80}: '
                'convert the dataset again'
            )
        first, last, _ = numbers
        if last - first >= MAX_SLICES:
            raise UserError(
                f'{results.get("img_path")}: slice_range {first} to {last} is longer than any '
                'series: convert the dataset again'
            )
        if not first <= key <= last:
            raise UserError(
                f'{results.get("img_path")}: slice_index {key} lies outside its slice_range '
                f'{first} to {last}: convert the dataset again'
            )
        return float(key), (first, last)

    def _slice_range(self, results: dict) -> Sequence[int]:
        return _ct_field(results, 'slice_range')

    def _read(self, results: dict, index: int) -> np.ndarray | None:
        """Read one slice in HU, (H, W) float32; return None if it does not exist."""
        path = slice_path(results, index)
        try:
            img = self._stored(path)
        except FileNotFoundError:
            return None
        if img.dtype == np.uint8 and self._expects_16_bits:
            raise UserError(
                f'slice {path} has 8 bits, not 16: give the slices as they were converted, or '
                'hu_scale and hu_offset of LoadCTSlices'
            )
        size = (results.get('height', img.shape[0]), results.get('width', img.shape[1]))
        if img.shape != size:
            raise UserError(
                f'slice {path} is {img.shape[1]} x {img.shape[0]} px, but its key slice is '
                f'annotated as {size[1]} x {size[0]} px: check the series'
            )
        # in place: a copy for each step takes as long as windowing the slice
        hu = img.astype(np.float32)
        hu *= np.float32(self.hu_scale)
        hu += np.float32(self.hu_offset)
        return hu

    def _stored(self, path: str) -> np.ndarray:
        """Return a slice's stored values, (H, W), decoded or out of the cache."""
        if not self.cache_size:
            return read_slice(path, self._fetch)
        if path not in self._cache:
            self._cache[path] = read_slice(path, self._fetch)
            if len(self._cache) > self.cache_size:
                # the one used longest ago, as each use moves its slice to the end
                self._cache.popitem(last=False)
        self._cache.move_to_end(path)
        return self._cache[path]

    @property
    def _expects_16_bits(self) -> bool:
        """Whether stored values are HU + 32768, as 8 bits cannot be."""
        return self.hu_scale == 1 and self.hu_offset == -HU_OFFSET

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(num_slices={self.num_slices}, '
            f'slice_interval={self.slice_interval}, upsample={self.upsample}, '
            f'hu_scale={self.hu_scale}, hu_offset={self.hu_offset}, '
            f'backend_args={self.backend_args}, cache_size={self.cache_size}, '
            f'key_reach={self.key_reach})'
        )


@TRANSFORMS.register_module()
class LoadCTSlicesFromVolume(LoadCTSlices):
    """:class:`LoadCTSlices` for a volume in memory, with the same options.

    ``hu_scale``, ``hu_offset``, ``backend_args`` and ``cache_size`` have no effect: the volume is
    in HU.

    Required Keys:

    - volume (np.ndarray): (z, y, x) HU, z from superior to inferior
    - slice_index: position in the volume, 0-based, or between two slices
    - slice_interval: mm
    """

    def _slice_range(self, results: dict) -> Sequence[int]:
        return 0, len(results['volume']) - 1

    def _read(self, results: dict, index: int) -> np.ndarray:
        return results['volume'][index].astype(np.float32)


def _ct_field(results: dict, key: str) -> Any:
    if results.get(key) is None:
        raise UserError(
            f'{results.get("img_path")} has no {key!r}, which is needed for neighboring slices: '
            'add it to the annotation file, or load with num_slices=1'
        )
    return results[key]


def _short_radius(results: dict) -> float:
    """Return the shortest half diameter or box side of a slice's lesions, mm; 0 without any."""
    spacing = np.array(_ct_field(results, 'spacing'))
    targets = [one['bbox'] for one in results['instances'] if not one['ignore_flag']]
    corners = np.array(targets).reshape(-1, 2, 2)
    # lesion, diameter, end, x and y
    ends = np.array(results.get('recist', [])).reshape(-1, 2, 2, 2)
    sides = (corners[:, 1] - corners[:, 0]) * spacing
    diameters = np.linalg.norm((ends[:, :, 1] - ends[:, :, 0]) * spacing, axis=-1)
    lengths = np.append(sides, diameters)
    return float(lengths.min()) / 2 if len(targets) else 0.0


def _nearest_existing(
    read: Callable[[int], np.ndarray | None], key: float, key_range: Sequence[int], index: int
) -> np.ndarray:
    """Return a slice or, if it is missing, the nearest one of the range that exists."""
    img = read(index)
    if img is not None:
        return img
    # by distance from the missing slice, then from the key slice, which exists
    others = range(key_range[0], key_range[1] + 1)
    images = map(read, sorted(others, key=lambda i: (abs(i - index), abs(i - key))))
    return next(img for img in images if img is not None)


def _interpolate(read: Callable[[int], np.ndarray], position: float) -> np.ndarray:
    """Return the slice at a fractional index, a weighted mean of its two neighbors."""
    # positions are not negative, so int() is the floor
    lower = int(position)
    weight = position - lower
    if weight == 0:
        return read(lower)
    return cv2.addWeighted(read(lower), 1 - weight, read(lower + 1), weight, 0)
