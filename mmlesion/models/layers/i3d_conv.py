"""Inflated 3D convolutions in networks of slices."""

from __future__ import annotations

from typing import Any

from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional as F

from .inflated_conv_3d import InflatedConv3d
from .slice_conv import pad_slices, split_slices

# In mmengine's registry, in which mmcv's `build_conv_layer` looks whatever the scope.


@MODELS.register_module()
class I3DConv(InflatedConv3d):
    """Inflated 3D convolution on slices in the batch (I3D, CVPR 2017, section 2.3).

    :class:`InflatedConv3d` on (n * num_slices, c, h, w), the slices of a sample consecutive: a k x
    k filter becomes depth x k x k. On equal slices it is the 2D convolution.

    Args:
        *args: Those of :class:`InflatedConv3d`.
        num_slices: Slices of a sample.
        depth: Slices that a filter spans, odd. Defaults to 3.
        zero_padding: Whether slices beyond the outermost ones are zeros. Defaults to False:
            they are the outermost ones.
        **kwargs: Those of :class:`InflatedConv3d`.
    """

    def __init__(
        self,
        *args: Any,
        num_slices: int,
        depth: int = 3,
        zero_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **dict(kwargs, depth=depth))
        self.num_slices = num_slices
        self.zero_padding = zero_padding

    def forward(self, x: Tensor) -> Tensor:
        """Convolve.

        Args:
            x: Features (n * num_slices, in_channels, h, w).

        Returns:
            Tensor: (n * num_slices, out_channels, h', w').
        """
        x = split_slices(x, self.num_slices).transpose(1, 2)  # (n, c, slices, h, w)
        x = pad_slices(x, self.kernel_size[0] // 2, 2, self.zero_padding)
        padding = (0, *self.padding[1:])
        x = F.conv3d(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        return x.transpose(1, 2).flatten(0, 1)
