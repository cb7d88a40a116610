"""Fusion of slice groups before a feature pyramid (ElixirNet)."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlesion.utils import OptionError


@MODELS.register_module()
class SliceGroupFusion(BaseModule):
    """Fuse the slice groups of each level by a 1x1 convolution, back to the backbone's channels.

    It is placed between :class:`~mmlesion.models.GroupedSliceBackbone` and any other neck, as
    ``neck=[dict(type='SliceGroupFusion', in_channels=[...]), dict(type='FPN', ...)]``, or used
    alone in a detector without a pyramid. ElixirNet's rows with nine slices use it.

    Args:
        in_channels (Sequence[int]): Channels of one group at each level of the backbone, which are
            those of the output.
        num_groups (int): Number of groups. Defaults to 3.
        init_cfg (dict | list[dict], optional): Initialization config. Defaults to Xavier
            initialization, as in FPN.
    """

    def __init__(
        self,
        in_channels: Sequence[int],
        num_groups: int = 3,
        init_cfg: dict | list[dict] | None = dict(
            type='Xavier', layer='Conv2d', distribution='uniform'
        ),
    ) -> None:
        super().__init__(init_cfg)
        self.in_channels = list(in_channels)
        self.fusions = nn.ModuleList()
        for channels in in_channels:
            self.fusions.append(nn.Conv2d(num_groups * channels, channels, 1))

    def forward(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Fuse each level.

        Args:
            inputs (tuple[Tensor]): Features (N, num_groups * C_i, h_i, w_i) of each level.

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
