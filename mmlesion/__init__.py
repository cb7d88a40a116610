"""Lesion detection in CT on MMDetection.

Importing this package registers its components in mmdet's registries.
"""

import mmdet  # its import checks the versions of mmcv and mmengine
from mmengine.utils import digit_version

from .version import __version__

if not digit_version('3.3.0') <= digit_version(mmdet.__version__) < digit_version('4.0.0'):
    raise ImportError(f'mmlesion {__version__} needs mmdet>=3.3.0,<4.0.0, not {mmdet.__version__}')

from . import (  # noqa: E402
    datasets,
    engine,
    evaluation,
    models,
    structures,
    visualization,
)

__all__ = [
    '__version__',
    'datasets',
    'engine',
    'evaluation',
    'models',
    'structures',
    'visualization',
]
