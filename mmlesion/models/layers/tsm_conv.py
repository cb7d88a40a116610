"""Shift of channels between slices (TSM)."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor

from mmlesion.utils import OptionError

from .slice_conv import SliceConv2d, pad_slices

# In mmengine's registry, in which mmcv's `build_conv_layer` looks whatever the scope.


@MODELS.register_module()
class TSMConv(SliceConv2d):
    """Temporal shift before a 2D convolution (TSM, ICCV 2019, section 3), slices being time.

    An n_fold-th of the channels comes from the next slice, another n_fold-th from the one before;
    the others stay. It has no parameters. On equal slices it is the 2D convolution.

    Args:
        *args: Those of ``Conv2d``.
        num_slices: Slices of a sample.
        n_fold: The divisor of the channels. Defaults to 8, as in the paper's offline network.
        zero_padding: Whether the outermost slices take zeros from beyond them, as in the
            paper. Defaults to False: they keep their own channels.
        **kwargs: Those of ``Conv2d``.

    Raises:
        OptionError: If ``n_fold`` is below 2.
    """

    def __init__(
        self,
        *args: Any,
        num_slices: int,
        n_fold: int = 8,
        zero_padding: bool = False,
        **kwargs: Any,
    ) -> None:
        if n_fold < 2:
            raise OptionError(f'n_fold must be at least 2, but got {n_fold}', self)
        super().__init__(*args, num_slices=num_slices, **kwargs)
        self.fold = self.in_channels // n_fold
        self.zero_padding = zero_padding

    def mix(self, x: Tensor) -> Tensor:
        """Shift the channels.

        Args:
            x: Features (n, num_slices, in_channels, h, w).

        Returns:
            Tensor: In the same shape.
        """
        parts = x.split([self.fold, self.fold, self.in_channels - 2 * self.fold], 2)
        after = pad_slices(parts[0], 1, 1, self.zero_padding)[:, 2:]
        before = pad_slices(parts[1], 1, 1, self.zero_padding)[:, :-2]
        return torch.cat([self._blend(parts[0], after), self._blend(parts[1], before), parts[2]], 2)

    def _blend(self, own: Tensor, neighbor: Tensor) -> Tensor:
        """Return what a slice takes, of its ``own`` features and its ``neighbor``'s."""
        return neighbor
