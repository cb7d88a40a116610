"""2D convolutions that see several slices: what their operators share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmlesion.utils import OptionError, UserError


class SliceConv2d(nn.Conv2d):
    """A 2D convolution before which each slice takes context from the others.

    The slices lie in the batch, (n * num_slices, c, h, w), those of a sample consecutive in slice
    order. So every other layer of a 2D network - normalization, pooling, attention - and its
    weights and their names stay as they are, where a layout (n, c, slices, h, w) would need a 3D
    counterpart for each. Batch normalization's statistics are those of ``BatchNorm3d``.

    Args:
        *args: Those of ``Conv2d``.
        num_slices: Slices of a sample.
        **kwargs: Those of ``Conv2d``.

    Raises:
        OptionError: If there is no slice.
    """

    def __init__(self, *args: Any, num_slices: int, **kwargs: Any) -> None:
        if num_slices < 1:
            raise OptionError(f'num_slices must be at least 1, but got {num_slices}', self)
        self.num_slices = num_slices
        super().__init__(*args, **kwargs)

    def mix(self, x: Tensor) -> Tensor:
        """Exchange context between slices.

        Args:
            x: Features (n, num_slices, in_channels, h, w).

        Returns:
            Tensor: In the same shape.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Mix the slices and convolve each.

        Args:
            x: Features (n * num_slices, in_channels, h, w).

        Returns:
            Tensor: (n * num_slices, out_channels, h', w').
        """
        return super().forward(self.mix(split_slices(x, self.num_slices)).flatten(0, 1))

    def extra_repr(self) -> str:
        """Return the options of the convolution and the number of slices."""
        return f'{super().extra_repr()}, num_slices={self.num_slices}'


def split_slices(x: Tensor, num_slices: int) -> Tensor:
    """Split the slices from the batch.

    Args:
        x: (n * num_slices, ...).
        num_slices: Slices of a sample.

    Returns:
        Tensor: (n, num_slices, ...).

    Raises:
        UserError: If the batch holds no whole number of samples.
    """
    if len(x) % num_slices:
        raise UserError(
            f'a batch of {len(x)} slices holds no whole samples of {num_slices}: set num_slices of '
            "the convolutions to that of the backbone's input"
        )
    return x.unflatten(0, (-1, num_slices))


def pad_slices(x: Tensor, size: int, dim: int, zero_padding: bool) -> Tensor:
    """Pad slices at both ends of a stack.

    Args:
        x: Features with slices in one dimension.
        size: Slices to add at each end.
        dim: The dimension of the slices.
        zero_padding: Whether they are zeros; otherwise the outermost slice is repeated, so
            that equal slices stay equal.

    Returns:
        Tensor: With 2 * size slices more.
    """
    first, last = x.narrow(dim, 0, 1), x.narrow(dim, -1, 1)
    if zero_padding:
        first, last = torch.zeros_like(first), torch.zeros_like(last)
    return torch.cat([*[first] * size, x, *[last] * size], dim)
