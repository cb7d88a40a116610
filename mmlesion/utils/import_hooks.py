"""Import hooks: actions on the import of a module, and lazy imports of a package's names."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Callable


class _AfterImport(MetaPathFinder):
    """Find a module as Python does, and call a function with it once its code has run."""

    def __init__(self, name: str, function: Callable[[ModuleType], None]) -> None:
        self.name = name
        self.function = function

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            self.function(module)

        # of this loader alone: Python makes a new one whenever it looks for a file
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def call_after_import(name: str, function: Callable[[ModuleType], None]) -> None:
    """Call a function with a module: now if it is imported already, else right after its import.

    Args:
        name (str): The module. It must be a file below a package.
        function (Callable): Takes the module. It is called while others may still be importing,
            so that it should import little. What it raises, the import raises.
    """
    if name in sys.modules:
        function(sys.modules[name])
    else:
        # first, before Python's own finder, which would load the module without the call
        sys.meta_path.insert(0, _AfterImport(name, function))


def lazy_exports(package: str, modules: dict[str, str]) -> Callable[[str], object]:
    """Return a package's ``__getattr__`` that imports some of its names on first use (PEP 562).

    Args:
        package (str): The package's ``__name__``.
        modules (dict[str, str]): Of each name the module that has it, relative to the package.
            A submodule itself is named by a dot: ``models='.'``.

    Returns:
        Callable: To be assigned to ``__getattr__``.
    """

    def get(name: str) -> object:
        if name not in modules:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        if modules[name] == '.':
            return import_module(f'.{name}', package)
        value = getattr(import_module(modules[name], package), name)
        # so that Python finds it without __getattr__ from now on
        setattr(sys.modules[package], name, value)
        return value

    return get
