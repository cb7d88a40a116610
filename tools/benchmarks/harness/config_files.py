"""Several configs to measure with; torch is not needed to check their names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mmlesion.utils import UserError
from mmlesion.utils.configs import load_config

if TYPE_CHECKING:
    from mmengine.config import Config


def load_configs(paths: Sequence[str | Path]) -> dict[str, Config]:
    """Load configs, by the names of their files.

    Raises:
        UserError: If there is no such file, or a config is given twice.
    """
    names = [Path(path).stem for path in paths]
    if len(set(names)) < len(names):
        raise UserError('a config is given twice: give each once')
    return dict(zip(names, map(load_config, paths)))
