"""Register mmlesion's components when mmdet first looks for one.

``import mmlesion`` must suffice for a config that names a component of mmlesion, and must stay
light where no framework is needed. So it adds :mod:`mmlesion.register` to the locations from which
mmengine's and mmdet's registries import their components on first use. Where these registries are
not imported yet, one import hook waits for them.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType

from .version import __version__

REGISTER = 'mmlesion.register'


def register_when_used() -> None:
    """Register all components now if mmdet's registries exist, else when one is first asked.

    Raises:
        ImportError: If mmdet is there, but of another version than mmlesion needs. Where mmdet is
            imported later, that import raises it.
    """
    for name, prepare in _PREPARE.items():
        if name in sys.modules:
            prepare(sys.modules[name])
    if 'mmdet.registry' in sys.modules:
        import_module(REGISTER)
    elif not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Find the modules of :data:`_PREPARE` as Python does, and prepare them after their import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _PREPARE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _Loader(spec.loader.name, spec.loader.path)
        return spec


class _Loader(SourceFileLoader):
    def exec_module(self, module: ModuleType) -> None:
        super().exec_module(module)
        _PREPARE[module.__name__](module)


def _add_location(module: ModuleType) -> None:
    """Let each registry of a module import mmlesion's components after its own."""
    from mmengine.registry import Registry

    for registry in vars(module).values():
        if isinstance(registry, Registry) and REGISTER not in registry._locations:
            # a new list, as registries without locations of their own share one
            registry._locations = [*registry._locations, REGISTER]
            registry._imported = False


def _check_and_add_location(module: ModuleType) -> None:
    check_mmdet_version()
    _add_location(module)


def _add_package(module: ModuleType) -> None:
    """Let configs name mmlesion's as ``mmlesion::folder/file.py``, as they name mmdet's.

    mmengine looks for the folder of a distribution of the entry's name, which it does not find of
    an editable install or of a PYTHONPATH, and where there is no such distribution for that of the
    module. So the entry is a module that is no distribution.
    """
    module.MODULE2PACKAGE['mmlesion'] = 'mmlesion.version'


_PREPARE = {
    'mmengine.config.utils': _add_package,
    'mmengine.registry': _add_location,
    'mmdet.registry': _check_and_add_location,
}


def check_mmdet_version() -> None:
    """Raise ImportError where mmlesion does not work with the mmdet that is imported."""
    from mmengine.utils import digit_version

    version = sys.modules['mmdet'].__version__
    if not digit_version('3.3.0') <= digit_version(version) < digit_version('4.0.0'):
        raise ImportError(f'mmlesion {__version__} needs mmdet>=3.3.0,<4.0.0, not {version}')
