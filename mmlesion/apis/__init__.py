"""High-level inference API."""

from mmlesion.utils.import_hooks import lazy_exports

from .lesions import Lesion

# it needs torch and mmdet
__getattr__ = lazy_exports(__name__, dict(LesionInferencer='.inferencer'))

__all__ = ['Lesion', 'LesionInferencer']
