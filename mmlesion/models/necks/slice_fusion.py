"""Fusion of groups of slices: a feature pyramid (LENS), and a convolution before any neck."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.models.necks import FPN
from mmdet.registry import MODELS
from mmdet.utils import OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmlesion.utils import OptionError


@MODELS.register_module()
class SliceFusionFPN(BaseModule):
    """Top-down path of each slice group, followed by fusion into one feature map.

    The neck of LENS (section Backbone), whose structure is MULAN's: on each level a 1x1 lateral
    convolution, shared by the groups; coarser levels are upsampled by nearest neighbors and added;
    only the finest level is used; and a 1x1 convolution fuses the groups' maps, the "3D feature
    fusion" at the end.

    Without an activation between them all of these are linear, and upsampling and 1x1 convolutions
    commute. So the weights of lateral and fusion are multiplied rather than run one after another:
    the result is the same, for a third of the work on the finest level, and the path is walked
    once for all groups.

    Args:
        in_channels: Channels of one group at each level, the finest first.
        out_channels: Channels of the feature map. Defaults to 512.
        num_groups: Number of groups, concatenated along the channels as in
            :class:`~mmlesion.models.GroupedSliceBackbone`. Defaults to 3.
        init_cfg: Initialization config. Defaults to Xavier
            initialization, as in FPN.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        out_channels: int = 512,
        num_groups: int = 3,
        init_cfg: OptMultiConfig = dict(type='Xavier', layer='Conv2d', distribution='uniform'),
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = tuple(in_channels)
        self.laterals = nn.ModuleList()
        for channels in in_channels:
            self.laterals.append(nn.Conv2d(channels, out_channels, 1))
        self.num_groups = num_groups
        self.fusion = nn.Conv2d(num_groups * out_channels, out_channels, 1)

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Fuse levels and groups.

        Args:
            inputs: Features (N, num_groups * C_i, h_i, w_i) of each level, the
                finest first.

        Returns:
            tuple[Tensor]: One feature map (N, out_channels, h_0, w_0).

        Raises:
            OptionError: If the number of levels, or of a level's channels, is another one.
        """
        self._check(inputs)
        # the fusion is linear, so that it comes before upsampling, on the small maps
        fused = [F.conv2d(x, *lateral) for x, lateral in zip(inputs, self._fused_laterals())]
        # the coarsest level, to which the finer ones are added
        x = fused.pop()
        for finer in reversed(fused):
            x = finer + F.interpolate(x, size=finer.shape[-2:])
        return (x + self.fusion.get_parameter('bias')[:, None, None],)

    def _fused_laterals(self) -> list[tuple[Tensor, Tensor]]:
        """Merge lateral and fusion: weights (out_channels, num_groups * C_i, 1, 1) and biases."""
        groups = self.fusion.weight.flatten(1).chunk(self.num_groups, 1)
        fused = []
        for lateral in self.laterals:
            # One after another they are fusion @ lateral, for each group by its own columns of the
            # fusion; the lateral's bias passes through all of them.
            own = lateral.get_parameter('weight').flatten(1)
            weight = torch.cat([group @ own for group in groups], 1)
            bias = sum(groups[1:], groups[0]) @ lateral.get_parameter('bias')
            fused.append((weight[..., None, None], bias))
        return fused

    def _check(self, inputs: tuple[Tensor, ...]) -> None:
        found = [x.shape[1] for x in inputs]
        expected = [self.num_groups * channels for channels in self.in_channels]
        if found != expected:
            raise OptionError(
                f'it takes levels of {expected} channels, {self.num_groups} groups in '
                f"each, but got {found}: set in_channels and num_groups to the backbone's",
                self,
            )


@MODELS.register_module()
class SliceGroupFusion(BaseModule):
    """Fuse the slice groups of each level by a 1x1 convolution, back to the backbone's channels.

    It is placed between :class:`~mmlesion.models.GroupedSliceBackbone` and any other neck, as
    ``neck=[dict(type='SliceGroupFusion', in_channels=[...]), dict(type='FPN', ...)]``, or used
    alone in a detector without a pyramid. ElixirNet's rows with nine slices use it.

    Args:
        in_channels: Channels of one group at each level of the backbone, which are
            those of the output.
        num_groups: Number of groups. Defaults to 3.
        init_cfg: Initialization config. Defaults to Xavier
            initialization, as in FPN.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_groups: int = 3,
        init_cfg: OptMultiConfig = dict(type='Xavier', layer='Conv2d', distribution='uniform'),
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = list(in_channels)
        self.fusions = nn.ModuleList()
        for channels in in_channels:
            self.fusions.append(nn.Conv2d(num_groups * channels, channels, 1))

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Fuse each level.

        Args:
            inputs: Features (N, num_groups * C_i, h_i, w_i) of each level.

        Returns:
            tuple[Tensor]: Features (N, C_i, h_i, w_i) of each level.

        Raises:
            OptionError: If the number of levels, or of a level's channels, is another one.
        """
        found = [x.shape[1] for x in inputs]
        expected = [fusion.in_channels for fusion in self.fusions]
        if found != expected:
            raise OptionError(
                f'with in_channels={self.in_channels} it takes levels of {expected} '
                f"channels, but got {found}: set in_channels and num_groups to the backbone's",
                self,
            )
        return tuple(fusion(x) for fusion, x in zip(self.fusions, inputs))

    def merge_into(self, pyramid: nn.Module) -> bool:
        """Merge the fusion into the lateral convolutions of the pyramid behind it, for detection.

        Both are 1x1 convolutions without an activation between them: the product of their weights
        replaces them. The pyramid, which then takes the groups' features, gives the same but for
        rounding, for less than half of their work. It is not for training: it has other weights.

        Args:
            pyramid: The next part of the neck; mmdet's FPN and its subclasses can be
                merged if no extra level takes the fused features themselves.

        Returns:
            bool: Whether it is merged; otherwise it is as before.
        """
        if not isinstance(pyramid, FPN) or not all(map(_is_plain, pyramid.lateral_convs)):
            return False
        extra_levels = pyramid.num_outs > len(pyramid.lateral_convs)
        if extra_levels and pyramid.add_extra_convs == 'on_input':
            return False
        used = self.fusions[pyramid.start_level :]
        for lateral, fusion in zip(pyramid.lateral_convs, used):
            lateral.conv = _one_after_another(fusion, lateral.conv)
        return True


def _is_plain(lateral: nn.Module) -> bool:
    conv = lateral.conv
    return isinstance(conv, nn.Conv2d) and conv.kernel_size == (1, 1) and conv.groups == 1


def _one_after_another(first: nn.Module, second: nn.Module) -> nn.Conv2d:
    """Return the 1x1 convolution that is ``second`` after ``first``, both 1x1 convolutions."""
    assert isinstance(first, nn.Conv2d) and isinstance(second, nn.Conv2d)
    weight = second.weight.flatten(1)
    merged = nn.Conv2d(first.in_channels, second.out_channels, 1).to(weight)
    bias = weight @ first.get_parameter('bias')
    if second.bias is not None:
        bias = bias + second.bias
    merged.weight.data = (weight @ first.weight.flatten(1))[..., None, None].detach()
    merged.get_parameter('bias').data = bias.detach()
    return merged
