"""Configs to measure with, from files or from mmdet; torch is not needed to check them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmlesion.utils import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

MMDET = 'mmdet::'


def load_config(path: str | Path) -> Config:
    """Load a config file, or one that mmdet ships, named ``mmdet::faster_rcnn/...``.

    Raises:
        UserError: If there is no such file.
    """
    if str(path).startswith(MMDET):
        from mmengine.hub import get_config  # with torch

        return get_config(str(path))
    if not Path(path).is_file():
        raise UserError(f'{path} does not exist')
    from mmengine.config import Config

    return Config.fromfile(path)


def load_configs(paths: Sequence[str | Path]) -> dict[str, Config]:
    """Load configs, by the names of their files.

    Raises:
        UserError: If there is no such file, or a config is given twice.
    """
    names = [Path(path).stem for path in paths]
    if len(set(names)) < len(names):
        raise UserError('a config is given twice: give each once')
    return dict(zip(names, map(load_config, paths)))
