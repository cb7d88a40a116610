"""Features that consecutive key slices share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def shared_features(model: nn.Module, size: int) -> Iterator[None]:
    """Let a detector keep features for the next key slices, where its parts can.

    Args:
        model: The detector.
        size: Most images whose features a part keeps; 0 computes each anew.
    """
    parts: list[Any] = [part for part in model.modules() if hasattr(part, 'share_features')]
    try:
        for part in parts:
            part.share_features(size)
        yield
    finally:
        for part in parts:
            # also after an error: features of another volume must not be found later
            part.share_features(0)


def sharing_distance(model: nn.Module) -> int:
    """Return how many channels of the input two key slices that share features are apart.

    Args:
        model: The detector.

    Returns:
        int: ``sharing_distance`` of its part that shares features, 1 without such a part.
    """
    distances = [getattr(part, 'sharing_distance', 1) for part in model.modules()]
    return max(distances)
