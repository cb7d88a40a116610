"""Axial, coronal and sagittal convolutions."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from mmlesion.utils import OptionError

from .slice_conv import SliceConv2d, split_slices

# In mmengine's registry, in which mmcv's `build_conv_layer` looks whatever the scope.


@MODELS.register_module()
class ACSConv(SliceConv2d):
    """2D filters in three views (ACS, JBHI 2021, section III): axial, coronal and sagittal.

    The output channels are split in three thirds, the axial one largest: the filters of the first
    lie in the slice (1 x k x k), those of the second across slices and columns (k x 1 x k), those
    of the third across slices and rows (k x k x 1). The weights are the 2D convolution's, and their
    number. Other than the other operators it changes the function of a pretrained network even on
    equal slices: two thirds of the filters see another plane than they were trained on. A 1 x 1
    filter stays.

    Padding and dilation across slices are 1, the stride is 1. In a grouped convolution each group's
    channels are split.

    Args:
        *args: Those of ``Conv2d``; the filter is square and of odd size.
        num_slices: Slices of a sample.
        **kwargs: Those of ``Conv2d``.

    Raises:
        OptionError: If the filter is not square, or a group has fewer than three output channels.
    """

    def __init__(self, *args: Any, num_slices: int, **kwargs: Any) -> None:
        super().__init__(*args, num_slices=num_slices, **kwargs)
        side, per_group = self.kernel_size[0], self.out_channels // self.groups
        if self.kernel_size != (side, side) or side % 2 == 0:
            raise OptionError(f'takes square filters of odd size, not {self.kernel_size}', self)
        if per_group < 3:
            raise OptionError(f'needs 3 output channels in a group, but got {per_group}', self)
        self.view_channels = (per_group - 2 * (per_group // 3), per_group // 3, per_group // 3)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve in three views.

        Args:
            x: Features (n * num_slices, in_channels, h, w).

        Returns:
            Tensor: (n * num_slices, out_channels, h', w').
        """
        if self.kernel_size == (1, 1):
            return self._conv_forward(x, self.weight, self.bias)
        x = split_slices(x, self.num_slices).transpose(1, 2)  # (n, c, slices, h, w)
        by_group = self.weight.unflatten(0, (self.groups, -1))
        views = []
        for view, weight in enumerate(by_group.split(self.view_channels, 1)):
            views.append(
                self._convolve(x, weight.flatten(0, 1), view).unflatten(1, (self.groups, -1))
            )
        out = torch.cat(views, 2).flatten(1, 2).transpose(1, 2).flatten(0, 1)
        return out if self.bias is None else out + self.bias[:, None, None]

    def _convolve(self, x: Tensor, weight: Tensor, view: int) -> Tensor:
        """Convolve (n, c, slices, h, w); the filters have no extent in dimension ``view``."""
        across = self.kernel_size[0] // 2
        padding = [across, *self.padding]
        # without extent in a dimension, a filter is padded as if its center stood there
        padding[view] -= (across, across * self.dilation[0], across * self.dilation[1])[view]
        if min(padding) < 0:
            x = _crop(x, padding)
            padding = [max(size, 0) for size in padding]
        dilation = (1, *self.dilation)
        weight = weight.unsqueeze(2 + view)
        return F.conv3d(x, weight, None, (1, *self.stride), padding, dilation, self.groups)


def _crop(x: Tensor, padding: list[int]) -> Tensor:
    for dim, size in enumerate(padding, 2):
        if size < 0:
            x = x.narrow(dim, -size, x.shape[dim] + 2 * size)
    return x
