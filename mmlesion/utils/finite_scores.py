"""Refusal of scores that are no numbers, before a threshold drops them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from .errors import UserError


def check_scores(model: nn.Module) -> list[RemovableHandle]:
    """Let the heads of a model raise :class:`UserError` where they compute no finite number.

    mmdet's heads compare scores with a threshold, which NaN does not pass: without this, such a
    network finds nothing, as in a patient without lesions. What is looked at are modules
    whose class is called a Head, and linear layers, the last ones of classifiers and embeddings.

    Args:
        model: The model.

    Returns:
        list[RemovableHandle]: Those of the hooks, by which they are removed.
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
