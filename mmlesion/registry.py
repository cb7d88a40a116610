"""The scope ``mmlesion``, which mmengine gives the parts of a config that begins ``mmlesion::``.

Its registries lie below mmdet's and are empty: mmlesion's components are registered in mmdet's, so
that configs of either scope find them. Importing this module makes the registries known.
"""

from __future__ import annotations

from mmdet import registry as of_mmdet
from mmengine.registry import Registry

SCOPE = 'mmlesion'


def _children() -> list[Registry]:
    """Return a registry of this scope below each of mmdet's own."""
    parents = {id(one): one for one in vars(of_mmdet).values() if isinstance(one, Registry)}
    return [
        Registry(parent.name, parent=parent, scope=SCOPE, locations=['mmlesion.register'])
        for parent in parents.values()
        if parent.scope == 'mmdet'
    ]


REGISTRIES = _children()
