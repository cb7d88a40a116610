"""Lazy imports of a package's names."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Callable


def lazy_exports(package: str, modules: dict[str, str]) -> Callable[[str], object]:
    """Return a package's ``__getattr__`` that imports some of its names on first use (PEP 562).

    Args:
        package: The package's ``__name__``.
        modules: Of each name the module that has it, relative to the package.
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
