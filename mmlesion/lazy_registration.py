"""Register mmlesion's components when they are first looked for, not before.

``import mmlesion`` alone must make a config that names mmlesion's components work, and must cost
nothing where files are read or scored and no framework is needed. So :func:`register_when_used`
imports :mod:`mmlesion.register` at once where mmdet's registries exist already. Where they do not,
it waits for the modules below to be imported, by whomever, and has them import it on first use:

- ``mmdet.registry`` and ``mmengine.registry``: when a registry is first asked for a component.
- ``mmengine.runner.checkpoint``: when the first checkpoint is loaded, since mmlesion's loaders
  refuse what would run code.

Nothing of mmlesion is imported while another import is under way, so that any order of imports
works.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from .utils.import_hooks import call_after_import
from .version import __version__

if TYPE_CHECKING:
    from mmengine.registry import Registry

REGISTER = 'mmlesion.register'


def register_when_used() -> None:
    """Register all components now if mmdet's registries exist, else when one is first asked.

    Raises:
        ImportError: If mmdet is there, but of another version than mmlesion needs. Where mmdet is
            imported later, that import raises it.
    """
    if 'mmdet.registry' in sys.modules:
        check_mmdet_version()
        import_module(REGISTER)
        return
    call_after_import('mmdet.registry', _watch_mmdet)
    call_after_import('mmengine.registry', _watch_registries)
    call_after_import('mmengine.runner.checkpoint', _watch_checkpoints)


def _watch_mmdet(module: ModuleType) -> None:
    check_mmdet_version()
    _watch_registries(module)


def check_mmdet_version() -> None:
    """Raise ImportError where mmlesion does not work with the mmdet that is imported."""
    from mmengine.utils import digit_version

    version = sys.modules['mmdet'].__version__
    if not digit_version('3.3.0') <= digit_version(version) < digit_version('4.0.0'):
        raise ImportError(f'mmlesion {__version__} needs mmdet>=3.3.0,<4.0.0, not {version}')


def _watch_registries(module: ModuleType) -> None:
    """Let each registry of a module import mmlesion's components after its own."""
    from mmengine.registry import Registry

    for registry in vars(module).values():
        # mmdet.registry also has mmengine's registries, which are watched already
        if isinstance(registry, Registry) and 'import_from_location' not in vars(registry):
            _watch_registry(registry)


def _watch_registry(registry: Registry) -> None:
    import_own = registry.import_from_location

    def import_from_location() -> None:
        import_own()
        import_module(REGISTER)

    registry.import_from_location = import_from_location


def _watch_checkpoints(module: ModuleType) -> None:
    """Let mmengine's CheckpointLoader import mmlesion's loaders before it picks one."""
    load = module.CheckpointLoader.load_checkpoint

    def load_checkpoint(filename: str, map_location: Any = None, logger: str = 'current') -> Any:
        import_module(REGISTER)
        return load(filename, map_location, logger)

    module.CheckpointLoader.load_checkpoint = staticmethod(load_checkpoint)
