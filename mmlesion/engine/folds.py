"""Cross-validation folds in configs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmengine.config import Config

from mmlesion.utils import UserError

PARTS = ('train', 'val', 'test')


def fold_of(cfg: Config) -> list[int] | None:
    """Return the cross-validation fold that a config tests.

    Args:
        cfg (Config): With dataloaders and evaluators.

    Returns:
        list[int]: The fold, or folds. None if the config has none.

    Raises:
        UserError: If its parts name different ones.
    """
    parts = {}
    for part in PARTS:
        dataloader, evaluator = f'{part}_dataloader', f'{part}_evaluator'
        parts[dataloader] = _dataset(cfg.get(dataloader))
        parts[evaluator] = cfg.get(evaluator)
    folds = {name: _as_list(part['fold']) for name, part in parts.items() if _has_fold(part)}
    if not folds:
        return None
    first = next(iter(folds.values()))
    if any(fold != first for fold in folds.values()):
        named = ', '.join(f'{name} {fold_name(fold)}' for name, fold in folds.items())
        raise UserError(f'the parts of the config have different folds: {named}; give all the same')
    return first


def fold_name(folds: Sequence[int | str]) -> str:
    """Return the name of a fold or folds, such as '3' or '0-1-2'."""
    return '-'.join(map(str, folds))


def _dataset(dataloader: dict | None) -> dict:
    """Return the config of the innermost dataset of a dataloader, or None."""
    inner = dataloader or {}
    # wrappers such as RepeatDataset hold the config of what they wrap
    while 'dataset' in inner:
        inner = inner['dataset']
    return inner


def _has_fold(part: Any) -> bool:
    return isinstance(part, dict) and part.get('fold') is not None


def _as_list(fold: int | Sequence[int]) -> list[int]:
    return [fold] if isinstance(fold, int) else sorted(fold)
