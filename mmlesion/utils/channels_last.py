"""The channels-last memory format, of 2D and 3D networks alike."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
"""By the number of axes of images or volumes, and of the weights of their convolutions."""


def store_channels_last(module: nn.Module) -> None:
    """Store the weights of convolutions with channels last in memory, in place.

    ``module.to(memory_format=torch.channels_last)`` ends in an error if there is a 3D convolution.

    Args:
        module: Of 2D convolutions, 3D ones, or both.
    """
    for parameter in module.parameters():
        parameter.data = channels_last(parameter.data)


def channels_last(tensor: Tensor) -> Tensor:
    """Return images or volumes with channels last in memory, the same shape and values.

    Args:
        tensor: (N, C, H, W), (N, C, D, H, W), or of any other shape.

    Returns:
        Tensor: A tensor of another number of axes is returned as it is.
    """
    memory_format = _FORMATS.get(tensor.dim())
    return tensor if memory_format is None else tensor.contiguous(memory_format=memory_format)
