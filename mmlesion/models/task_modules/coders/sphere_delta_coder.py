"""Encoding of spheres as deltas."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmdet.models.task_modules.coders import BaseBBoxCoder
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from mmlesion.structures.spheres import SphereBoxes


@TASK_UTILS.register_module()
class SphereDeltaCoder(BaseBBoxCoder):
    """Deltas between spheres (3D Aggregated Faster R-CNN), a 3D version of R-CNN's.

    The offset of the center along z, y and x over the diameter, and the logarithm of the ratio of
    the diameters.

    Args:
        target_means: Means of the four deltas, which are subtracted. Defaults to
            zeros.
        target_stds: Standard deviations of the deltas, which they are divided by.
            Defaults to ones.
        use_box_type: Whether decoded spheres are :class:`SphereBoxes`, and not a tensor.
            Defaults to False.
    """

    encode_size = 4

    def __init__(
        self,
        target_means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        target_stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        use_box_type: bool = False,
    ) -> None:
        super().__init__(use_box_type=use_box_type)
        self.means = tuple(target_means)
        self.stds = tuple(target_stds)

    def encode(self, bboxes: Tensor | SphereBoxes, gt_bboxes: Tensor | SphereBoxes) -> Tensor:
        """Compute the deltas from spheres to target spheres.

        Args:
            bboxes: (..., 4), anchors for instance.
            gt_bboxes: (..., 4), lesions for instance.

        Returns:
            Tensor: Deltas (..., 4).
        """
        bboxes, gt_bboxes = get_box_tensor(bboxes), get_box_tensor(gt_bboxes)
        # One diameter is the scale along all three axes, where R-CNN has width and height.
        diameters = bboxes[..., 3:]
        offsets = (gt_bboxes[..., :3] - bboxes[..., :3]) / diameters
        deltas = torch.cat([offsets, (gt_bboxes[..., 3:] / diameters).log()], -1)
        return (deltas - deltas.new_tensor(self.means)) / deltas.new_tensor(self.stds)

    def decode(
        self,
        bboxes: Tensor | SphereBoxes,
        pred_bboxes: Tensor,
        max_shape: tuple[int, ...] | None = None,
        diameter_ratio_clip: float = 16 / 1000,
    ) -> Tensor | SphereBoxes:
        """Apply deltas to spheres.

        Args:
            bboxes: (..., 4), anchors for instance.
            pred_bboxes: Deltas (..., 4).
            max_shape: Volume (D, H, W), passed by mmdet's heads. Not used: a
                sphere that extends beyond the volume is not clipped.
            diameter_ratio_clip: Minimum ratio of a decoded diameter to the original one;
                its reciprocal is the maximum. Defaults to 16 / 1000, as in mmdet.

        Returns:
            Tensor | SphereBoxes: (..., 4).
        """
        bboxes = get_box_tensor(bboxes)
        deltas = pred_bboxes * pred_bboxes.new_tensor(self.stds)
        deltas = deltas + pred_bboxes.new_tensor(self.means)
        # Of either sign: exp of what an untrained network gives could overflow.
        limit = abs(math.log(diameter_ratio_clip))
        centers = bboxes[..., :3] + deltas[..., :3] * bboxes[..., 3:]
        diameters = bboxes[..., 3:] * deltas[..., 3:].clamp(-limit, limit).exp()
        decoded = torch.cat([centers, diameters], -1)
        return SphereBoxes(decoded, clone=False) if self.use_box_type else decoded
