"""Register every component of mmlesion with mmdet and mmengine.

Importing this module imports all packages of mmlesion that have components: classes in the
registries, the box type ``sphere``, the loaders of checkpoints and the backend of local files.
``import mmlesion`` does so as soon as mmdet looks for a component, see
:mod:`mmlesion.lazy_registration`. From then on the components check the types of their options.
"""

from __future__ import annotations

from collections.abc import Iterator

import mmdet.registry
import mmengine.registry
from mmengine.registry import Registry

from . import datasets, engine, evaluation, models, visualization  # noqa: F401
from .evaluation import metrics  # noqa: F401
from .structures import spheres  # noqa: F401
from .utils.option_types import check_when_constructed
from .visualization import local_visualizer  # noqa: F401


def components() -> Iterator[type]:
    """Yield each class of mmlesion's that a config can name, but for the runners.

    These are made of a whole config, not of options.
    """
    registries = [*vars(mmengine.registry).values(), *vars(mmdet.registry).values()]
    found: dict[type, None] = {}
    for registry in registries:
        if isinstance(registry, Registry) and registry is not mmengine.registry.RUNNERS:
            found.update(dict.fromkeys(registry.module_dict.values()))
    for component in found:
        if component.__module__.startswith('mmlesion.'):
            yield component


for _component in components():
    check_when_constructed(_component)
