"""The U-Net of dense blocks of 3D Aggregated Faster R-CNN."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
from mmdet.utils import OptConfigType, OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn

from mmlesion.utils import OptionError

from ..layers import DenseBlock3D, pre_act_conv3d

STRIDES = (4, 8, 16)
"""Voxels, of the levels of the U-Net's pyramid, the finest first."""


class _Upsample(nn.Module):
    """Transposed convolution to the size of the encoder's features, concatenation, 1x1x1 conv."""

    def __init__(self, channels: int, skip_channels: int, norm_cfg: OptConfigType) -> None:
        super().__init__()
        self.deconv = pre_act_conv3d(channels, channels, 2, norm_cfg, transposed=True)
        self.conv = pre_act_conv3d(channels + skip_channels, channels, 1, norm_cfg)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv(torch.cat([self.deconv(x), skip], 1))


@MODELS.register_module()
class DenseUNet3D(BaseModule):
    """U-Net of dense blocks for volumes (3D Aggregated Faster R-CNN, section III-A and Table I).

    A PreBlock and three dense blocks halve the size four times; two decoder stages, each a
    transposed convolution, the concatenation of the encoder's features of that size and a dense
    block, come back to a quarter of it. Levels of strides 4, 8 and 16 have the same channels.

    Table I names no channels but the growth and the levels': the PreBlock has twice the growth, as
    in DenseNet, and the first convolution, on HU, neither normalization nor ReLU before it.

    Args:
        in_channels: Channels of the volumes. Defaults to 1.
        growth_rate: Channels that a bottleneck adds. Defaults to 16.
        num_bottlenecks: Bottlenecks of a dense block. Defaults to 2.
        stem_channels: Channels of the PreBlock. Defaults to 32.
        out_channels: Channels of transitions and levels. Defaults to 32.
        out_indices: The levels that are returned, of strides 4, 8 and 16. Defaults
            to (0, 1, 2).
        norm_cfg: Normalization. Defaults to None, ``dict(type='BN3d')``.
        init_cfg: Initialization config. Defaults to None, Kaiming
            initialization.
    """

    def __init__(
        self,
        in_channels: int = 1,
        growth_rate: int = 16,
        num_bottlenecks: int = 2,
        stem_channels: int = 32,
        out_channels: int = 32,
        out_indices: Sequence[int] = (0, 1, 2),
        norm_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(
            init_cfg or dict(type='Kaiming', layer=['Conv3d', 'ConvTranspose3d'], mode='fan_in')
        )
        self.out_indices = tuple(out_indices)

        def dense(channels: int) -> DenseBlock3D:
            return DenseBlock3D(channels, growth_rate, num_bottlenecks, norm_cfg=norm_cfg)

        def transition(block: DenseBlock3D) -> nn.Module:
            return pre_act_conv3d(block.out_channels, out_channels, 1, norm_cfg)

        self.pre_block = nn.Sequential(
            nn.Conv3d(in_channels, stem_channels, 3, padding=1, bias=False),
            pre_act_conv3d(stem_channels, stem_channels, 3, norm_cfg),
            nn.MaxPool3d(2),
        )
        # strides 2, 4 and 8; each transition halves the resolution
        encode = [dense(channels) for channels in (stem_channels, out_channels, out_channels)]
        self.encode = nn.ModuleList(encode)
        self.encode_transition = nn.ModuleList()
        for block in encode:
            self.encode_transition.append(nn.Sequential(transition(block), nn.AvgPool3d(2)))
        # The first block's features, of stride 2, are not used again.
        self.upsample = nn.ModuleList()
        self.decode, self.decode_transition = nn.ModuleList(), nn.ModuleList()
        for encoded in encode[1:]:
            self.upsample.append(_Upsample(out_channels, encoded.out_channels, norm_cfg))
            block = dense(out_channels)
            self.decode.append(block)
            self.decode_transition.append(transition(block))

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Extract the pyramid.

        Args:
            x: Volumes (N, in_channels, D, H, W) with sides that are multiples of 16.

        Returns:
            tuple[Tensor]: Levels (N, out_channels, D / s, H / s, W / s) of s = 4, 8, 16, or those
            of ``out_indices``.

        Raises:
            OptionError: If a side is no multiple of 16.
        """
        size = tuple(x.shape[2:])
        coarsest = STRIDES[-1]
        if any(side % coarsest for side in size):
            raise OptionError(
                f'sides of volumes must be multiples of {coarsest} voxels, not {size}: pad them',
                self,
            )
        x = self.pre_block(x)
        skips = []
        for block, transition in zip(self.encode, self.encode_transition):
            x = block(x)
            skips.append(x)
            x = transition(x)
        # From the coarsest level up; decoder stage i takes the features of encoder stage i + 1.
        levels = [x]
        for i in reversed(range(len(self.upsample))):
            x = self.upsample[i](x, skips[i + 1])
            x = self.decode_transition[i](self.decode[i](x))
            levels.append(x)
        # the finest first, as STRIDES has them
        levels.reverse()
        return tuple(levels[i] for i in self.out_indices)
