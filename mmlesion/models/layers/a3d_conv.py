"""Asymmetric 3D context fusion."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor, nn

from .slice_conv import SliceConv2d

# In mmengine's registry, in which mmcv's `build_conv_layer` looks whatever the scope.


@MODELS.register_module()
class A3DConv(SliceConv2d):
    """Asymmetric 3D context fusion before a 2D convolution (A3D, MICCAI 2021, section 2.2).

    For each input channel a learned matrix (num_slices, num_slices) makes each slice a weighted sum
    of all of them: x'[k, c] = sum over s of mixing[s, k, c] * x[s, c]. Unlike a convolution across
    slices it does not treat all slices alike, and a slice sees all others in one layer. It begins
    as the identity, by which a pretrained 2D network keeps its function on every slice.

    Args:
        *args: Those of ``Conv2d``.
        num_slices: Slices of a sample.
        noise: Uniform noise of -noise to noise, added to the identity: the authors' program
            has 0.1, with which the function is kept approximately. Defaults to 0.
        **kwargs: Those of ``Conv2d``.
    """

    def __init__(self, *args: Any, num_slices: int, noise: float = 0.0, **kwargs: Any) -> None:
        super().__init__(*args, num_slices=num_slices, **kwargs)
        identity = torch.eye(num_slices)[..., None].repeat(1, 1, self.in_channels)
        self.mixing = nn.Parameter(identity + torch.empty_like(identity).uniform_(-noise, noise))

    def mix(self, x: Tensor) -> Tensor:
        """Mix the slices of each channel.

        Args:
            x: Features (n, num_slices, in_channels, h, w).

        Returns:
            Tensor: In the same shape.
        """
        return torch.einsum('nschw,skc->nkchw', x, self.mixing)
