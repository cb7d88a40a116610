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
        model (nn.Module): The detector.
        size (int): Most images whose features a part keeps; 0 computes each anew.
    """
    parts: list[Any] = [part for part in model.modules() if hasattr(part, 'share_features')]
    try:
        for part in parts:
            part.share_features(size)
        yield
    finally:
        for part in parts:
            part.share_features(0)
