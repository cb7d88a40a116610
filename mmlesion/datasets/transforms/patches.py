"""Patches around lesions for an embedding, and around proposals for a classifier."""

from __future__ import annotations

import os.path as osp
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS
from mmdet.structures.bbox import autocast_box_type

from mmlesion.io.slices import slice_path
from mmlesion.structures import reverse_axes, to_half_open
from mmlesion.structures.boxes import crop_array
from mmlesion.utils import OptionError, UserError

from .loading import LoadCTSlices

MAX_CACHED = 64  # slices, for the next proposal of the same series: 64 MB of 512 px


@TRANSFORMS.register_module()
class LoadNearbyCTSlices(LoadCTSlices):
    """:class:`LoadCTSlices` centered on a random slice of the same lesion.

    It creates further views of a lesion that is annotated on one slice. The slice lies at most
    ``reach`` times half the box's shorter side above or below the annotated one; the box stays.

    Required Keys: those of :class:`LoadCTSlices` and

    - instances: one, with ``bbox`` x1, y1, x2, y2 in px
    - spacing: [x, y] mm/px

    Args:
        reach: Defaults to 0.3, where a ball still has 95 % of the width on its middle
            slice.
        **kwargs: Those of :class:`LoadCTSlices`, which rejects unknown ones.
    """

    def __init__(self, reach: float = 0.3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.reach = reach

    def transform(self, results: dict) -> dict:
        """Load a slice and its neighbors.

        Args:
            results: A sample.

        Returns:
            dict: The sample, of another slice.
        """
        x1, y1, x2, y2 = results['instances'][0]['bbox']
        radius = min(x2 - x1, y2 - y1) * results['spacing'][0] / 2  # mm
        # slices to move at most, up or down
        steps = int(self.reach * radius / results['slice_interval'])
        number = results['slice_index'] + np.random.randint(-steps, steps + 1)
        first, last = results['slice_range']
        number = int(np.clip(number, first, last))
        # a missing slice is replaced by the next one towards the annotated slice
        while number != results['slice_index'] and not osp.isfile(slice_path(results, number)):
            number += 1 if number < results['slice_index'] else -1
        results['img_path'] = slice_path(results, number)
        results['slice_index'] = number
        return super().transform(results)

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, reach={self.reach})'


@TRANSFORMS.register_module()
class CropLesionPatch(BaseTransform):
    """Crop a square around the center of the first box, padded with air.

    Required Keys:

    - img: (H, W, C)
    - gt_bboxes

    Modified Keys:

    - img, img_shape, gt_bboxes

    Args:
        size: Its side, px. Defaults to 120, which is 96 mm after ``NormalizeSpacing``.
    """

    def __init__(self, size: int = 120) -> None:
        self.size = size

    @autocast_box_type()
    def transform(self, results: dict) -> dict:
        """Crop the patch.

        Args:
            results: A sample.

        Returns:
            dict: Its patch.
        """
        img = results['img']
        x, y = results['gt_bboxes'].centers[0].round().int().tolist()
        # px of the image at the patch's upper left corner, which may lie beyond the image
        left, top = x - self.size // 2, y - self.size // 2
        # all channels, if the image has any
        start, size = (top, left, 0), (self.size, self.size, *img.shape[2:])
        patch = crop_array(img, start[: img.ndim], size, img.min())
        results['img'] = patch
        results['img_shape'] = patch.shape[:2]
        results['gt_bboxes'].translate_((-left, -top))
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


class PatchFrame(NamedTuple):
    """Position of a patch's voxels in a series.

    Points of the series are z, y, x in slice numbers and px, those of the patch in its voxels;
    number i extends from i to i + 1 in both.

    Args:
        center: (3,) point of the series at the patch's center.
        step: (3,) slices and px of the series from a voxel of the patch to the next;
            negative along an axis that is flipped.
        size: (3,) voxels of the patch.
    """

    center: np.ndarray
    step: np.ndarray
    size: np.ndarray

    def to_patch(self, box: np.ndarray) -> np.ndarray:
        """Map a box (6,) z1, y1, x1, z2, y2, x2 from the series to the patch, clipped to it."""
        # the frame's center is the middle of the patch
        corners = (np.reshape(box, (2, 3)) - self.center) / self.step + self.size / 2
        # a flip along an axis swaps its corners there
        return np.clip(np.r_[corners.min(0), corners.max(0)], 0, np.tile(self.size, 2))

    def slices(self) -> np.ndarray:
        """Return the slice numbers (D,), usually fractional, of the patch's planes."""
        return self._positions(0)

    def pixel_map(self) -> np.ndarray:
        """Return the affine map (2, 3) of px centers x, y from the patch to a slice."""
        _, y, x = self._first()
        _, step_y, step_x = self.step
        return np.array([[step_x, 0, x], [0, step_y, y]])

    def _positions(self, axis: int) -> np.ndarray:
        return self._first()[axis] + np.arange(self.size[axis]) * self.step[axis]

    def _first(self) -> np.ndarray:
        """Return the index z, y, x in the series, by voxel centers, of the patch's first voxel."""
        # Half a patch back from its center, to the middle of its first voxel; by voxel centers, the
        # point i + 0.5 of the series has the index i.
        return self.center - 0.5 + (0.5 - self.size / 2) * self.step


@TRANSFORMS.register_module()
class LoadProposalPatch(LoadCTSlices):
    """Load a 3D patch around a proposal's center (LENS, sections 3D FPR and Data).

    Its slices are 2 mm apart and its px 0.8 mm wide, by linear interpolation. Only the slices of
    the series that it needs are read. Beyond the series' ends it has the last slice there is, as
    :class:`LoadCTSlices`, and beyond the slices' borders air. In training it may be scaled, shifted
    and flipped at random, the proposal's box with it.

    Required Keys:

    - img_path, slice_index, slice_range, slice_interval, spacing: of a slice of the series
    - proposal_box: x1, y1, z1, x2, y2, z2 in px and slice numbers, the last ones inclusive

    Added Keys:

    - volume (np.int16): (num_slices, size, size) HU
    - img_shape, ori_shape: (z, y, x)
    - patch_box: z1, y1, x1, z2, y2, x2 of the proposal in voxels of the patch, clipped to it; voxel
      i extends from i to i + 1

    Args:
        num_slices: Slices of the patch, odd. Defaults to 25, which are 50 mm.
        size: Its side, px. Defaults to 96, which are 77 mm.
        slice_interval: mm. Defaults to 2.0.
        spacing: mm/px. Defaults to 0.8.
        ratio_range: Minimum and maximum of the random scale; above 1 the patch
            shows less of the series, enlarged. Defaults to (1.0, 1.0).
        max_shift_mm: Maximum random shift of the patch along each axis. Defaults to 0.
        flip_prob: Probability of a flip along each axis. Defaults to 0.
        pad_hu: HU beyond the slices' borders. Defaults to -1024.
        **kwargs: Those of :class:`LoadCTSlices`, which rejects unknown ones.

    Raises:
        OptionError: If an option is out of its range.
        UserError: As :class:`LoadCTSlices`, and if a sample has no positive spacing.
    """

    def __init__(
        self,
        num_slices: int = 25,
        size: int = 96,
        slice_interval: float = 2.0,
        spacing: float = 0.8,
        ratio_range: Sequence[float] = (1.0, 1.0),
        max_shift_mm: float = 0.0,
        flip_prob: float = 0.0,
        pad_hu: int = -1024,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_slices=num_slices, slice_interval=slice_interval, **kwargs)
        if slice_interval is None or spacing <= 0 or size < 1:
            raise OptionError(
                f'a patch has a positive size, spacing and slice_interval, not {size}, {spacing} '
                f'and {slice_interval}',
                self,
            )
        if not 0 < ratio_range[0] <= ratio_range[1]:
            raise OptionError(f'ratio_range {ratio_range} must be positive and ascending', self)
        if not 0 <= flip_prob <= 1 or max_shift_mm < 0:
            raise OptionError(
                f'flip_prob={flip_prob} must be 0 to 1, and max_shift_mm={max_shift_mm} at least 0',
                self,
            )
        self.size = size
        self.spacing = spacing
        self.ratio_range = tuple(ratio_range)
        self.max_shift_mm = max_shift_mm
        self.flip_prob = flip_prob
        self.pad_hu = pad_hu
        self._cached: dict[str, np.ndarray | None] = {}

    def transform(self, results: dict) -> dict:
        """Load the patch.

        Args:
            results: A sample.

        Returns:
            dict: The sample with ``volume``, ``img_shape``, ``ori_shape`` and ``patch_box``.
        """
        box = reverse_axes(to_half_open(results['proposal_box']))
        frame = results['patch_frame'] = self._draw_frame(results, box)
        patch = super().transform(results).pop('img')
        results.pop('slice_distance', None)  # the frame's slices lie at its own
        # from (H, W, slices) of an image to z, y, x
        results['volume'] = np.rint(patch.transpose(2, 0, 1)).astype(np.int16)
        results['img_shape'] = results['ori_shape'] = results['volume'].shape
        results['patch_box'] = frame.to_patch(box).tolist()
        return results

    def _draw_frame(self, results: dict, box: np.ndarray) -> PatchFrame:
        """Draw the patch of a box (6,) z1, y1, x1, z2, y2, x2."""
        # All of z, y, x, in voxels of the series. A scale over 1 enlarges: its steps are shorter.
        mm = self._voxel_mm(results)
        step = np.array([self.slice_interval, self.spacing, self.spacing]) / mm
        low, high = self.ratio_range
        step /= np.random.uniform(low, high)
        shift = np.random.uniform(-self.max_shift_mm, self.max_shift_mm, 3) / mm
        flip = np.where(np.random.random(3) < self.flip_prob, -1, 1)
        size = np.array([self.num_slices, self.size, self.size])
        return PatchFrame((box[:3] + box[3:]) / 2 + shift, step * flip, size)

    def _voxel_mm(self, results: dict) -> np.ndarray:
        """Return the size of the series' voxels, mm z, y, x."""
        x, y = results.get('spacing') or (0, 0)
        z = results.get('slice_interval') or 0
        if min(x, y, z) <= 0:
            raise UserError(
                f'{results.get("img_path")}: spacing {results.get("spacing")} and slice_interval '
                f'{results.get("slice_interval")} are not in mm: correct the annotation file'
            )
        return np.array([z, y, x])

    def _positions(self, results: dict, key: float, key_range: Sequence[int]) -> list[float]:
        first, last = key_range
        return np.round(results['patch_frame'].slices(), 6).clip(first, last).tolist()

    def _read(self, results: dict, index: int) -> np.ndarray | None:
        """Read a slice's part in the patch, (size, size) float32; return None if it is missing."""
        img = self._read_cached(results, index)
        if img is None:
            return None
        return cv2.warpAffine(
            img,
            results['patch_frame'].pixel_map(),
            (self.size, self.size),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=self.pad_hu,
        )

    def _read_cached(self, results: dict, index: int) -> np.ndarray | None:
        path = slice_path(results, index)
        if path not in self._cached:
            self._cached[path] = super()._read(results, index)
            if len(self._cached) > MAX_CACHED:
                # the one that was read first
                del self._cached[next(iter(self._cached))]
        return self._cached[path]

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(num_slices={self.num_slices}, size={self.size}, '
            f'slice_interval={self.slice_interval}, spacing={self.spacing}, '
            f'ratio_range={self.ratio_range}, max_shift_mm={self.max_shift_mm}, '
            f'flip_prob={self.flip_prob}, pad_hu={self.pad_hu})'
        )
