"""Dense blocks for volumes."""

from __future__ import annotations

import torch
from mmcv.cnn import ConvModule
from mmdet.utils import OptConfigType, OptMultiConfig
from mmengine.model import BaseModule
from torch import Tensor, nn


def pre_act_conv3d(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    norm_cfg: dict | None = None,
    transposed: bool = False,
    bias: bool | str = 'auto',
) -> ConvModule:
    """Build normalization, ReLU and a 3D convolution, in DenseNet's order.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        kernel_size: Odd, with padding that keeps the size; for a transposed convolution also
            the stride, and thus the magnification.
        norm_cfg: Normalization. Defaults to None, ``dict(type='BN3d')``.
        transposed: Whether the convolution is transposed. Defaults to False.
        bias: Whether it has a bias. Defaults to 'auto', no bias.

    Returns:
        ConvModule: Takes (N, in_channels, D, H, W).
    """
    return ConvModule(
        in_channels,
        out_channels,
        kernel_size,
        stride=kernel_size if transposed else 1,
        padding=0 if transposed else kernel_size // 2,
        bias=bias,
        conv_cfg=dict(type='deconv3d' if transposed else 'Conv3d'),
        norm_cfg=norm_cfg or dict(type='BN3d'),
        order=('norm', 'act', 'conv'),
    )


class DenseBlock3D(BaseModule):
    """Bottlenecks that each receive the input and all previous outputs (DenseNet-B).

    A bottleneck is a 1x1x1 convolution to four times the growth and a 3x3x3 convolution to the
    growth, each after normalization and ReLU: the blocks of Table I of 3D Aggregated Faster R-CNN.

    Args:
        in_channels: Channels of the input.
        growth_rate: Channels that a bottleneck adds. Defaults to 16.
        num_bottlenecks: How many. Defaults to 2.
        keep_input: Whether the input is part of the output. Defaults to True; if not, the
            output is the features added by the bottlenecks.
        norm_cfg: Normalization. Defaults to None, ``dict(type='BN3d')``.
        init_cfg: Initialization config.

    Attributes:
        out_channels: Channels of the output.
    """

    def __init__(
        self,
        in_channels: int,
        growth_rate: int = 16,
        num_bottlenecks: int = 2,
        keep_input: bool = True,
        norm_cfg: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(init_cfg)
        width = 4 * growth_rate
        self.skipped = 0 if keep_input else 1  # of the input and the bottlenecks' outputs
        self.out_channels = num_bottlenecks * growth_rate + (in_channels if keep_input else 0)
        self.bottlenecks = nn.ModuleList()
        for i in range(num_bottlenecks):
            reduce = pre_act_conv3d(in_channels + i * growth_rate, width, 1, norm_cfg)
            grow = pre_act_conv3d(width, growth_rate, 3, norm_cfg)
            self.bottlenecks.append(nn.Sequential(reduce, grow))

    def forward(self, x: Tensor) -> Tensor:
        """Add features.

        Args:
            x: (N, in_channels, D, H, W).

        Returns:
            Tensor: (N, out_channels, D, H, W).
        """
        features = [x]
        for bottleneck in self.bottlenecks:
            features.append(bottleneck(torch.cat(features, 1)))
        return torch.cat(features[self.skipped :], 1)
