from .inferencer import LesionInferencer
from .lesions import Lesion
from .stacking import stack_boxes

__all__ = ['Lesion', 'LesionInferencer', 'stack_boxes']
