"""Fusion of slice groups before a feature pyramid (ElixirNet)."""

from __future__ import annotations

from collections.abc import Sequence

from mmdet.models.necks import FPN
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
