"""Diameter Alignment of 3D Aggregated Faster R-CNN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
from mmdet.utils import OptConfigType, OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor

from mmlesion.utils import OptionError

from ..backbones.dense_unet_3d import STRIDES
from ..layers import RoIAlign3D
from ..layers.local_magnification import SCALE, LocalMagnification


@MODELS.register_module()
class DiameterAlignedExtractor(BaseModule):
    """Concatenated features of a region from every pyramid level.

    3D Aggregated Faster R-CNN, sections III-C and III-D. With Diameter Alignment, a region's
    diameter in voxels of its own level (the one that proposed it) is its side on every level,
    around the same center: coarser levels add the surroundings of a small lesion, finer levels the
    interior of a large one. Without it, the side on a level is the diameter in voxels of that
    level.

    With Local Magnification each level's crop is magnified, with the same weights, before RoIAlign.

    Args:
        featmap_strides: Strides of the levels, voxels. Defaults to those of
            ``DenseUNet3D``, (4, 8, 16).
        out_channels: Channels of each level. Defaults to 32.
        output_size: Side of the result of RoIAlign on a level. Defaults to 2.
        sampling_ratio: Samples of RoIAlign along each side of a bin. Defaults to 2.
        diameter_alignment: Whether diameters are aligned. Defaults to True.
        magnification: ``LocalMagnification``. Defaults to None, without. A crop
            has a fixed size: a region wider than what is magnified, 1.25 voxels of its level, is
            classified by its middle.
        init_cfg: Initialization config.

    Raises:
        OptionError: If there is magnification without Diameter Alignment: on fine levels a large
            lesion would have no place in a crop of fixed size.
    """

    def __init__(
        self,
        featmap_strides: Sequence[int] = STRIDES,
        out_channels: int = 32,
        output_size: int = 2,
        sampling_ratio: int = 2,
        diameter_alignment: bool = True,
        magnification: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        if magnification and not diameter_alignment:
            raise OptionError(
                f'magnification={magnification} has crops of a fixed size: it needs '
                'diameter_alignment',
                self,
            )
        self.featmap_strides = tuple(featmap_strides)
        self.diameter_alignment = diameter_alignment
        self.out_channels = out_channels * output_size**3 * len(self.featmap_strides)
        self.magnify = None
        scales = [1 / stride for stride in self.featmap_strides]
        self.aligns = [RoIAlign3D(output_size, scale, sampling_ratio) for scale in scales]
        if magnification:
            self.magnify = MODELS.build(magnification, default_args=dict(channels=out_channels))
            # one sample to a voxel: a shifted copy of the features
            self.crops = [RoIAlign3D(self.magnify.crop_size, scale, 1) for scale in scales]
            self.align_magnified = RoIAlign3D(output_size, 1, sampling_ratio)

    @property
    def num_inputs(self) -> int:
        """int: Number of pyramid levels used."""
        return len(self.featmap_strides)

    def forward(self, feats: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """Extract the features of all regions.

        Args:
            feats: Levels (B, C, D, H, W), the finest first.
            rois: Regions (n, 6): the volume's index in the batch, center z, y, x and
                diameter in voxels of the input, index of the level that proposed it.

        Returns:
            Tensor: (n, levels * C * output_size^3), level after level.
        """
        if self.magnify is None:
            levels = self._aligned(feats, rois)
        else:
            levels = self._magnified(feats, rois, self.magnify)
        # (levels, n, C, s, s, s) to (n, levels * C * s^3)
        return levels.transpose(0, 1).flatten(1)

    def _sides(self, rois: Tensor) -> Tensor:
        """Return the sides (n,) of regions in voxels of their own level."""
        strides = rois.new_tensor(self.featmap_strides)
        return rois[:, 4] / strides[rois[:, 5].long()]

    def _aligned(self, feats: tuple[Tensor, ...], rois: Tensor) -> Tensor:
        """Apply RoIAlign on each level: (levels, n, C, output_size, output_size, output_size)."""
        sides = self._sides(rois)
        levels = []
        for feat, stride, align in zip(feats, self.featmap_strides, self.aligns):
            # RoIAlign divides by the stride: what is left is `sides` voxels, on this level too
            diameters = sides * stride if self.diameter_alignment else rois[:, 4]
            levels.append(align(feat, torch.cat([rois[:, :4], diameters[:, None]], 1)))
        return torch.stack(levels)

    def _magnified(
        self, feats: tuple[Tensor, ...], rois: Tensor, magnify: LocalMagnification
    ) -> Tensor:
        """Magnify crops of all levels in one batch and apply RoIAlign; returns as _aligned."""
        crops = []
        for feat, stride, crop in zip(feats, self.featmap_strides, self.crops):
            # (n, 5): volume, center z, y, x and side in voxels of the input, of cubes that are
            # crop_size voxels of the level; moved so that a result's center is the region's
            cubes = torch.cat([rois[:, :4], rois.new_full((len(rois), 1), magnify.crop_size)], 1)
            cubes[:, 1:4] -= magnify.center_offset * stride
            cubes[:, 4] *= stride
            crops.append(crop(feat, cubes))
        magnified = magnify(torch.cat(crops))
        # In each magnified crop a cube around its middle, in magnified voxels.
        sides = (self._sides(rois) * SCALE).clamp(max=magnify.output_size)
        cubes = rois.new_full((len(magnified), 5), magnify.output_size / 2)
        cubes[:, 0] = torch.arange(len(magnified), device=rois.device)
        cubes[:, 4] = sides.repeat(len(feats))
        return self.align_magnified(magnified, cubes).unflatten(0, (len(feats), len(rois)))
