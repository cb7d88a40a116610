"""High-level inference API."""

from mmlesion.utils.lazy_exports import lazy_exports

from .lesions import Lesion

# these need torch and mmdet
__getattr__ = lazy_exports(
    __name__, dict(LesionInferencer='.inferencer', inference_slice='.slice_detection')
)

__all__ = ['Lesion', 'LesionInferencer', 'inference_slice']
