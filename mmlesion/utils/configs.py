"""Load configs and register what they name; errors that a user can mend have one line."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError

if TYPE_CHECKING:
    from mmengine.config import Config

SHIPPED = 'mmdet::'
"""What the name of a config begins with that mmdet ships, as ``mmdet::retinanet/...``."""


def shipped_path(name: str) -> Path:
    """Return a file of ``configs`` or ``tools``, in the package as installed or in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / '.mim' / name
    return installed if installed.is_file() else package.parent / name


def load_config(
    config: str | Path | Config,
    options: Mapping[str, Any] | None = None,
    needed: Collection[str] = (),
) -> Config:
    """Load a config file, or copy a config, and merge options into it.

    Args:
        config: A config, a file, or one of mmdet's (:data:`SHIPPED`).
        options: Values by their place, such as ``model.backbone.depth``, as of
            ``--cfg-options``.
        needed: Parts that the config must have, such as 'test_dataloader'.

    Returns:
        Config: With the options.

    Raises:
        UserError: If the config cannot be read, an option does not fit, or a part is missing.
    """
    # a copy, as options are merged in place
    cfg = _read(str(config)) if isinstance(config, (str, Path)) else copy.deepcopy(config)
    name = f'the config {cfg.filename or ""}'.strip()
    try:
        cfg.merge_from_dict(dict(options or {}))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f'{name} cannot take the options {options}: {_told(error)}') from error
    # A component's config is a dictionary; one that is None or text cannot be built.
    if missing := [part for part in needed if not isinstance(cfg.get(part), dict)]:
        raise UserError(f'{name} has no {" and ".join(missing)}: give a whole config')
    return cfg


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register all components of mmdet and of mmlesion.

    Every package of OpenMMLab has it as ``utils.register_all_modules``; mmengine's hub calls it.

    Args:
        init_default_scope: Whether to make mmdet's the default scope, in which configs
            without one are built. Defaults to True.
    """
    import_module('mmdet.utils').register_all_modules(init_default_scope)
    import_module('mmlesion.register')


def innermost_dataset(dataloader: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return the config of a dataloader's dataset, without wrappers such as RepeatDataset.

    It is empty where there is no dataloader.
    """
    inner = dataloader or {}
    while 'dataset' in inner:
        inner = inner['dataset']
    return inner


def _read(path: str) -> Config:
    try:
        if path.startswith(SHIPPED):
            from mmengine.hub import get_config

            return get_config(path)
        if not Path(path).exists():
            raise UserError(f'the config {path} does not exist')
        from mmengine.config import Config  # with torch, which bad names do without

        return Config.fromfile(path)
    except UserError:
        raise
    except Exception as error:  # a config is a program, which can raise anything
        raise UserError(f'the config {path} cannot be read: {_told(error)}') from error


def _told(error: Exception) -> str:
    """Return the kind of an exception and its message in one line."""
    return f'{type(error).__name__}: {" ".join(str(error).split())}'
