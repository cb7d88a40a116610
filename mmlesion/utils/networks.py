"""What is done to the modules of a network: memory format, half precision, a check of scores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.utils import apply_to
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .errors import UserError

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


def autocast_forward(
    module: nn.Module, half: torch.dtype | None, restore: bool = True
) -> list[RemovableHandle]:
    """Let a module compute in half precision, by hooks around its ``forward``.

    Args:
        module: With weights, on its device.
        half: The half precision; None for single precision.
        restore: Whether its outputs become float32 with channels first, as mmcv's RoIAlign assumes
            them without a check; otherwise they stay as they are. Defaults to True.

    Returns:
        Those of the hooks, by which they are removed.
    """
    device = next(module.parameters()).device.type
    entered: list[torch.autocast] = []

    def enter(module: nn.Module, inputs: tuple) -> None:
        context = torch.autocast(device, half, enabled=half is not None)
        context.__enter__()
        entered.append(context)

    def leave(module: nn.Module, inputs: tuple, outputs: Any) -> Any:
        entered.pop().__exit__(None, None, None)
        return apply_to(outputs, torch.is_tensor, _restore) if restore else None

    return [
        module.register_forward_pre_hook(enter),
        # also after an error, which must not leave the rest of the program in half precision
        module.register_forward_hook(leave, always_call=True),
    ]


def _restore(tensor: Tensor) -> Tensor:
    is_half = tensor.dtype in (torch.bfloat16, torch.float16)
    return (tensor.float() if is_half else tensor).contiguous()


def check_scores(model: nn.Module) -> list[RemovableHandle]:
    """Let the heads of a model raise :class:`UserError` where they compute no finite number.

    mmdet's heads compare scores with a threshold, which NaN does not pass: without this, such a
    network finds nothing, as in a patient without lesions. What is looked at are modules
    whose class is called a Head, and linear layers, the last ones of classifiers and embeddings.

    Args:
        model: The model.

    Returns:
        Those of the hooks, by which they are removed.
    """
    return [
        module.register_forward_hook(_check)
        for module in model.modules()
        if type(module).__name__.endswith('Head') or isinstance(module, nn.Linear)
    ]


def _check(module: nn.Module, inputs: tuple, outputs: Any) -> None:
    if not module.training and not all(one.isfinite().all() for one in _tensors(outputs)):
        raise UserError(
            f'{type(module).__name__} computes values that are no finite numbers, so that nothing '
            'would be found: the checkpoint, the input, or half precision (--amp) is at fault'
        )


def _tensors(outputs: Any) -> Iterator[Tensor]:
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, dict):
        yield from _tensors(tuple(outputs.values()))
    elif isinstance(outputs, (tuple, list)):
        for one in outputs:
            yield from _tensors(one)
