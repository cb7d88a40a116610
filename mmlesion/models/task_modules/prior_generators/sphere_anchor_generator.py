"""Spherical anchors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from mmdet.registry import TASK_UTILS
from torch import Tensor
from torch.nn.modules.utils import _triple

from mmlesion.structures.spheres import SphereBoxes
from mmlesion.utils import OptionError

from ...backbones.dense_unet_3d import STRIDES


def _ceil_div(number: float, divisor: float) -> int:
    return math.ceil(number / divisor)


@TASK_UTILS.register_module()
class SphereAnchorGenerator:
    """Spheres around the voxels of feature maps (3D Aggregated Faster R-CNN, section III-B).

    A voxel of a map of stride s covers s voxels of the input along an axis, and its anchors are in
    the middle of them: those of voxel i at (i + 0.5) s, where voxel 0 of the input extends from 0
    to 1. It has the interface that mmdet's heads use of their generators.

    Args:
        strides: Of each level, along all axes or z, y, x, voxels.
            Defaults to those of ``DenseUNet3D``, (4, 8, 16).
        diameters: Of each level's anchors, voxels, which are mm in an
            input of 1 mm. Defaults to the paper's for LUNA16.
        use_box_type: Whether anchors are :class:`SphereBoxes`, and not a tensor. Defaults to
            False.

    Raises:
        OptionError: If strides and diameters are of different numbers of levels, or a diameter is
            not positive.
    """

    def __init__(
        self,
        strides: Sequence[int | tuple[int, ...]] = STRIDES,
        diameters: Sequence[Sequence[float]] = ((4, 6), (8, 12), (16, 24)),
        use_box_type: bool = False,
    ) -> None:
        if len(strides) != len(diameters):
            raise OptionError(
                f'strides={strides} and diameters={diameters} are of different numbers of levels',
                self,
            )
        if not all(level and min(level) > 0 for level in diameters):
            raise OptionError(f'diameters={diameters}: each level needs some, all over 0', self)
        self.strides = list(map(_triple, strides))
        self.diameters = list(map(tuple, diameters))
        self.use_box_type = use_box_type

    @property
    def num_levels(self) -> int:
        """int: Number of pyramid levels."""
        return len(self.strides)

    @property
    def num_base_priors(self) -> list[int]:
        """list[int]: Number of anchors per voxel of each level."""
        return [len(level) for level in self.diameters]

    def grid_priors(
        self,
        featmap_sizes: list[tuple[int, ...]],
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = 'cuda',
    ) -> list[Tensor | SphereBoxes]:
        """Place the anchors of all levels.

        Args:
            featmap_sizes: Size (D, H, W) of each level.
            dtype: Of the anchors. Defaults to torch.float32.
            device: Of the anchors. Defaults to ``'cuda'``, as in mmdet.

        Returns:
            list[Tensor | SphereBoxes]: (D * H * W * A, 4) of each level, the A anchors of a voxel
            after each other, then the next voxel along x.

        Raises:
            OptionError: If there are other than ``num_levels`` sizes.
        """
        self._check_levels(featmap_sizes)
        priors = []
        for level, size in enumerate(featmap_sizes):
            priors.append(self.single_level_grid_priors(size, level, dtype, device))
        return priors

    def single_level_grid_priors(
        self,
        featmap_size: tuple[int, ...],
        level_idx: int,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = 'cuda',
    ) -> Tensor | SphereBoxes:
        """Place the anchors of one level.

        Args:
            featmap_size: Its size (D, H, W).
            level_idx: Its index.
            dtype: Of the anchors. Defaults to torch.float32.
            device: Of the anchors. Defaults to ``'cuda'``, as in mmdet.

        Returns:
            Tensor | SphereBoxes: (D * H * W * A, 4).
        """
        values = []  # of z, y, x and diameter
        for size, stride in zip(featmap_size, self.strides[level_idx]):
            # the middle of the voxels of the input that a voxel of the map covers
            values.append((torch.arange(size, device=device, dtype=dtype) + 0.5) * stride)
        values.append(torch.tensor(self.diameters[level_idx], device=device, dtype=dtype))
        # (D * H * W * A, 4): the last of the values, the diameter, runs fastest, then x, y and z
        anchors = torch.cartesian_prod(*values)
        return SphereBoxes(anchors, clone=False) if self.use_box_type else anchors

    def valid_flags(
        self,
        featmap_sizes: list[tuple[int, ...]],
        pad_shape: tuple[int, ...],
        device: str | torch.device = 'cuda',
    ) -> list[Tensor]:
        """Flag the anchors of voxels within the padded volume, of all levels.

        Args:
            featmap_sizes: Size (D, H, W) of each level.
            pad_shape: Size (D, H, W) of the padded volume.
            device: Of the flags. Defaults to ``'cuda'``, as in mmdet.

        Returns:
            list[BoolTensor]: (D * H * W * A,) of each level.

        Raises:
            OptionError: If there are other than ``num_levels`` sizes.
        """
        self._check_levels(featmap_sizes)
        flags = []
        for size, stride, number in zip(featmap_sizes, self.strides, self.num_base_priors):
            of_voxels = self._level_flags(size, stride, pad_shape, device)
            # all anchors of a voxel after each other, as single_level_grid_priors has them
            flags.append(of_voxels.repeat_interleave(number))
        return flags

    def _level_flags(
        self,
        featmap_size: tuple[int, ...],
        strides: tuple[int, ...],
        pad_shape: tuple[int, ...],
        device: str | torch.device,
    ) -> Tensor:
        """Flag the voxels of a level, (D * H * W,), that cover a part of the padded volume."""
        # A voxel that covers the padded volume's end in part is within it, thus rounded up.
        flags = torch.zeros(tuple(featmap_size), dtype=torch.bool, device=device)
        depth, height, width = map(_ceil_div, pad_shape, strides)
        flags[:depth, :height, :width] = True
        return flags.flatten()

    def _check_levels(self, featmap_sizes: Sequence[tuple[int, ...]]) -> None:
        if len(featmap_sizes) != self.num_levels:
            raise OptionError(
                f'{len(featmap_sizes)} feature maps, but {self.num_levels} levels', self
            )

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(strides={self.strides}, diameters={self.diameters}, '
            f'use_box_type={self.use_box_type})'
        )
