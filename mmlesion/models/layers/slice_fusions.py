"""From the features of all slices to those of the key slice."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CenterSlice(nn.Module):
    """The features of the key slice, the middle one."""

    def forward(self, x: Tensor) -> Tensor:
        """Take the middle of ``x`` (n, slices, c, h, w) as (n, c, h, w)."""
        return x[:, x.shape[1] // 2]


class MeanSlice(nn.Module):
    """The mean of the slices."""

    def forward(self, x: Tensor) -> Tensor:
        """Average ``x`` (n, slices, c, h, w) to (n, c, h, w)."""
        return x.mean(1)


class ConcatSlices(nn.Module):
    """All slices side by side in the channels, in slice order, for a neck that fuses them."""

    def forward(self, x: Tensor) -> Tensor:
        """Flatten ``x`` (n, slices, c, h, w) to (n, slices * c, h, w)."""
        return x.flatten(1, 2)


class SliceAttention(nn.Module):
    """The slices' mean by their likeness to the key slice.

    At each position the weights are a softmax over the slices of the cosine between their features
    and the middle slice's, times a learned scale, which begins at 1. Equal slices give their own
    features.
    """

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Fuse ``x`` (n, slices, c, h, w) to (n, c, h, w)."""
        key = x.shape[1] // 2
        cosines = F.cosine_similarity(x, x[:, key : key + 1], dim=2)
        weights = (self.scale * cosines).softmax(1)
        return torch.einsum('nschw,nshw->nchw', x, weights.to(x))
