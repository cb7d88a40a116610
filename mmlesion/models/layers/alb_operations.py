"""The operations of auto-lesion blocks."""

from __future__ import annotations

from functools import partial
from typing import Callable

import torch
from mmcv.cnn import ConvModule, DepthwiseSeparableConvModule
from torch import Tensor, nn

from mmlesion.utils import UserError

from .relations import NonLocalRelation

CONV_BN = dict(norm_cfg=dict(type='BN'), efficient_conv_bn_eval=True)
# inputs are shared between operations, which must not change them in place
RELU_CONV_BN = dict(CONV_BN, order=('act', 'conv', 'norm'), inplace=False)


class RegionSequential(nn.Sequential):
    """Layers applied to each region separately, with an operation's signature; identity if empty.

    Args:
        *layers: Layers of one input.
    """

    # an operation is called with the regions' numbers too
    def forward(  # type: ignore[override]
        self, x: Tensor, num_regions: list[int]
    ) -> Tensor:
        """Apply the layers to features ``x`` (N, D, h, w), whatever image a region is from."""
        return super().forward(x)


class NoConnection(nn.Module):
    """Operation with zero output."""

    def forward(self, x: Tensor, num_regions: list[int]) -> Tensor:
        """Return zeros in the shape of ``x`` (N, D, h, w)."""
        return torch.zeros_like(x)


def _separable_conv(channels: int, kernel_size: tuple[int, int], dilation: int = 1) -> nn.Module:
    """Build ReLU, a depthwise and a pointwise convolution and BN, padded to keep the size."""
    return DepthwiseSeparableConvModule(
        channels,
        channels,
        kernel_size,
        padding=tuple(dilation * (size // 2) for size in kernel_size),
        dilation=dilation,
        bias=False,
        dw_norm_cfg=None,
        pw_act_cfg=None,
        **RELU_CONV_BN,
    )


def _separable(channels: int, kernel_size: tuple[int, int], dilation: int = 1) -> nn.Module:
    return RegionSequential(_separable_conv(channels, kernel_size, dilation))


def _separable_twice(channels: int, kernel_size: tuple[int, int]) -> nn.Module:
    # DARTS applies its separable convolutions twice
    convs = [_separable_conv(channels, kernel_size) for _ in range(2)]
    return RegionSequential(*convs)


def _separable_asymmetric(channels: int) -> nn.Module:
    return RegionSequential(_separable_conv(channels, (1, 3)), _separable_conv(channels, (3, 1)))


def _atrous(channels: int, rate: int) -> nn.Module:
    conv = ConvModule(channels, channels, 3, padding=rate, dilation=rate, **RELU_CONV_BN)
    return RegionSequential(conv)


def _average_pool(channels: int) -> nn.Module:
    # a mean of the region's own positions, as in DARTS
    return RegionSequential(nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False))


_BUILDERS: dict[str, Callable[[int], nn.Module]] = {
    'none': lambda channels: NoConnection(),
    'skip_connect': lambda channels: RegionSequential(),
    'avg_pool_3x3': _average_pool,
    'max_pool_3x3': lambda channels: RegionSequential(nn.MaxPool2d(3, stride=1, padding=1)),
    'sep_conv_3x3': partial(_separable, kernel_size=(3, 3)),
    'sep_conv_5x5': partial(_separable, kernel_size=(5, 5)),
    'sep_conv_1x3_3x1': _separable_asymmetric,
    'atrous_conv_3x3_r3': partial(_atrous, rate=3),
    'atrous_conv_3x3_r5': partial(_atrous, rate=5),
    'non_local': NonLocalRelation,
    'double_sep_conv_3x3': partial(_separable_twice, kernel_size=(3, 3)),
    'double_sep_conv_5x5': partial(_separable_twice, kernel_size=(5, 5)),
    'dil_sep_conv_3x3': partial(_separable, kernel_size=(3, 3), dilation=2),
    'dil_sep_conv_5x5': partial(_separable, kernel_size=(5, 5), dilation=2),
}

OPERATIONS = (
    'none',
    'skip_connect',
    'avg_pool_3x3',
    'sep_conv_3x3',
    'sep_conv_5x5',
    'sep_conv_1x3_3x1',
    'atrous_conv_3x3_r3',
    'atrous_conv_3x3_r5',
    'non_local',
)
"""The nine candidate operations of ElixirNet, section "Search Space for ALB"."""

DARTS_OPERATIONS = (
    'none',
    'skip_connect',
    'avg_pool_3x3',
    'max_pool_3x3',
    'double_sep_conv_3x3',
    'double_sep_conv_5x5',
    'dil_sep_conv_3x3',
    'dil_sep_conv_5x5',
)
"""The eight candidate operations of DARTS (Liu, Simonyan and Yang, ICLR 2019), the paper's Table 6,
"w/o our search space": its separable convolutions are applied twice, and dilated by 2 once."""


def build_operation(name: str, channels: int) -> nn.Module:
    """Build an operation of an auto-lesion block (ElixirNet, section "Search Space for ALB").

    Convolutions have the order ReLU, convolution, BN; a depthwise-separable one has one ReLU before
    and one BN behind its two convolutions. 1x3 and 3x1 are two of them in a row. All operations
    have stride 1 and keep the size.

    Args:
        name: One of :data:`OPERATIONS`.
        channels: Channels D of the features.

    Returns:
        nn.Module: Its ``forward(x, num_regions)`` takes features (N, D, h, w) of the regions, image
        after image, and the number of regions of each image (list[int]); it returns (N, D, h, w).

    Raises:
        UserError: If there is no such operation.
    """
    if name not in _BUILDERS:
        raise UserError(f'no operation {name!r}; an operation is one of {", ".join(_BUILDERS)}')
    return _BUILDERS[name](channels)
