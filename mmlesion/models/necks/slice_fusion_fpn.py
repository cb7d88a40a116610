"""Feature pyramid that fuses slice groups (LENS)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
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
        init_cfg: dict | list[dict] | None = dict(
            type='Xavier', layer='Conv2d', distribution='uniform'
        ),
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
