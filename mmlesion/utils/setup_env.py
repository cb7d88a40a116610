"""What every package of OpenMMLab has by this name, and mmengine's hub calls."""

from __future__ import annotations

from importlib import import_module


def register_all_modules(init_default_scope: bool = True) -> None:
    """Register all components of mmdet and of mmlesion.

    Args:
        init_default_scope: Whether to make mmdet's the default scope, in which configs
            without one are built. Defaults to True.
    """
    import_module('mmdet.utils').register_all_modules(init_default_scope)
    import_module('mmlesion.register')
