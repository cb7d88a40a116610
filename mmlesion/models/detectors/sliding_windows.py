"""Sliding-window inference on volumes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from mmlesion.utils import OptionError

from ..backbones.dense_unet_3d import STRIDES
from ..layers import nms_3d


def centered_within(
    results: InstanceData, low: Tensor | float, high: Tensor | float
) -> InstanceData:
    """Return the detections whose center is in a cuboid.

    Args:
        results: ``bboxes`` (n, 4) z, y, x, diameter.
        low: (3,) z, y, x of its first corner, which is within.
        high: (3,) of its last one, which is not.

    Returns:
        InstanceData: Those of ``results``.
    """
    centers = results.bboxes[:, :3]
    return results[((centers >= low) & (centers < high)).all(1)]


def _round_up(number: int, divisor: int) -> int:
    """Return the least multiple of the divisor that is not below a number."""
    return -(-number // divisor) * divisor


class SlidingWindows:
    """Sliding-window inference: overlapping windows over a volume, and merging of their detections.

    3D Aggregated Faster R-CNN, section Data Preparation: a scan is divided into overlapping cubes
    and their detections are merged.

    Windows start at multiples of ``divisor``, so that the anchors of all lie on one grid, and are
    evenly spaced. A detection centered near a face inside the scan is left to the neighboring
    window, which contains all of it.

    Args:
        size: z, y, x of a window; less where the volume is smaller. Defaults to
            (128, 128, 128).
        overlap: Minimum overlap of neighbors along an axis, voxels. Defaults to 32.
        batch_size: Windows per batch. Defaults to 1.
        border: Distance from a face in voxels within which detections are left to
            the neighbor. Defaults to None, a quarter of ``overlap``: in the remaining half of the
            overlap, both windows' detections are kept and merged.
        iou_threshold: IoU threshold of the bounding cubes, for NMS of the detections of all
            windows. Defaults to 0.1.
        max_per_img: Maximum number of detections per volume. Defaults to 100, LUNA16's limit.
        divisor: Sizes are rounded up to its multiples; the detector's coarsest stride.
            Defaults to 16.

    Raises:
        OptionError: If windows of this size cannot overlap so much, or a number makes no sense.
    """

    def __init__(
        self,
        size: Sequence[int] = (128, 128, 128),
        overlap: int = 32,
        batch_size: int = 1,
        border: int | None = None,
        iou_threshold: float = 0.1,
        max_per_img: int = 100,
        divisor: int = STRIDES[-1],
    ) -> None:
        if len(size) != 3 or any(side % divisor or side < divisor for side in size):
            raise OptionError(f'size must be three multiples of {divisor}, not {size}', self)
        if not 0 <= overlap <= min(size) - divisor:
            raise OptionError(
                f'windows of {size} that begin {divisor} voxels apart overlap by 0 to '
                f'{min(size) - divisor}, not {overlap}',
                self,
            )
        border = overlap // 4 if border is None else border
        if not 0 <= border <= overlap // 2:
            raise OptionError(
                f'border must be 0 to half of the overlap of {overlap}, not {border}', self
            )
        if batch_size < 1:
            raise OptionError(f'batch_size must be at least 1, not {batch_size}', self)
        self.size = tuple(size)
        self.overlap = overlap
        self.batch_size = batch_size
        self.border = border
        self.iou_threshold = iou_threshold
        self.max_per_img = max_per_img
        self.divisor = divisor

    def place(self, shape: Sequence[int]) -> tuple[Tensor, tuple[int, ...]]:
        """Place windows over a volume.

        Args:
            shape: Voxels z, y, x of the volume.

        Returns:
            tuple: First voxels (n, 3) z, y, x of the windows (Tensor), and their size (tuple). The
            last windows may extend up to ``divisor`` - 1 voxels beyond the volume.
        """
        rounded = [_round_up(side, self.divisor) for side in shape]
        # a volume smaller than a window has one window of its own size, padded
        size = tuple(map(min, self.size, rounded))
        z, y, x = map(self._starts, rounded, size)
        return torch.cartesian_prod(z, y, x), size

    def _starts(self, length: int, size: int) -> Tensor:
        """Return the starts of windows along an axis; all numbers are multiples of the divisor."""
        last = length - size
        if not last:
            return torch.zeros(1, dtype=torch.long)
        # The widest step that leaves the overlap tells how many steps are needed; the step is then
        # as narrow as the same number of steps allows, so that all windows overlap alike.
        widest = (size - self.overlap) // self.divisor * self.divisor
        steps = math.ceil(last / widest)
        step = _round_up(math.ceil(last / steps), self.divisor)
        return (torch.arange(steps + 1) * step).clamp(max=last)

    def cut(self, volume: Tensor, start: Sequence[int], size: Sequence[int], fill: float) -> Tensor:
        """Copy a window from a volume.

        Args:
            volume: (1, D, H, W), possibly memory-mapped.
            start: First voxel z, y, x.
            size: z, y, x.
            fill: Value beyond the volume's end.

        Returns:
            Tensor: (1, *size), of the volume's type.
        """
        (z, y, x), (depth, height, width) = start, size
        part = volume[:, z : z + depth, y : y + height, x : x + width]
        _, there_z, there_y, there_x = part.shape
        # F.pad takes what to add before and after each axis, the last axis first.
        padding = (0, width - there_x, 0, height - there_y, 0, depth - there_z)
        return F.pad(part, padding, value=fill)

    def in_volume(
        self, results: InstanceData, start: Tensor, size: Sequence[int], shape: Sequence[int]
    ) -> InstanceData:
        """Convert detections from the coordinates of windows to the volume's.

        Those left to neighboring windows are dropped, and those whose center is not in the volume.

        Args:
            results: ``bboxes`` (n, 4) z, y, x, diameter in voxels of the window.
            start: (3,) first voxel of the window, or (n, 3) of each detection's window.
            size: z, y, x of the windows.
            shape: z, y, x of the volume.

        Returns:
            InstanceData: In voxels of the volume.
        """
        boxes = results.bboxes
        start = start.to(boxes).expand(len(boxes), 3)
        side, end = boxes.new_tensor(size), boxes.new_tensor(shape)
        # at an outer face there is no neighbor
        # a center in the border is found again by the neighbor, where it lies further inside
        low = torch.where(start > 0, self.border, 0)
        high = torch.where(start + side < end, side - self.border, end - start)
        centers = boxes[:, :3]
        inside = ((centers >= low) & (centers < high)).all(1)
        moved = results.new()
        # z, y, x move; the diameter, the fourth column, does not
        moved.bboxes = boxes + F.pad(start, (0, 1))
        return moved[inside]

    def merge(self, results: InstanceData) -> InstanceData:
        """Merge the detections of all windows.

        Args:
            results: Detections of all windows, in voxels of the volume.

        Returns:
            InstanceData: The best ``max_per_img`` after NMS, highest ``scores`` first.
        """
        keep = nms_3d(results.bboxes, results.scores, self.iou_threshold, self.max_per_img)
        return results[keep]
