"""Lesion detection in CT on MMDetection.

``import mmlesion`` makes mmdet know this package's components: at once where mmdet is imported
already, else when it is first asked for one. Packages without components, such as
:mod:`mmlesion.structures` and :mod:`mmlesion.froc`, import no framework.
"""

from .registration import register_when_used
from .utils.lazy_exports import lazy_exports
from .version import __version__

_PARTS = (
    'anchors',
    'apis',
    'converters',
    'datasets',
    'engine',
    'evaluation',
    'froc',
    'io',
    'mining',
    'models',
    'structures',
    'utils',
    'visualization',
)
__all__ = ['__version__', *_PARTS]
__getattr__ = lazy_exports(__name__, dict.fromkeys(_PARTS, '.'))

register_when_used()
