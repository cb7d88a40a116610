"""High-level inference API."""

from .inferencer import LesionInferencer
from .lesions import Lesion

__all__ = ['Lesion', 'LesionInferencer']
