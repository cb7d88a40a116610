"""Register every component of mmlesion with mmdet and mmengine.

Importing this module imports all packages of mmlesion that have components: classes in the
registries, the box type ``sphere``, and the loaders of checkpoints. ``import mmlesion`` does so as
soon as mmdet looks for a component, see :mod:`mmlesion.registration`.
"""

from . import datasets, engine, evaluation, models, visualization  # noqa: F401
from .evaluation import metrics  # noqa: F401
from .structures import spheres  # noqa: F401
from .visualization import local_visualizer  # noqa: F401
