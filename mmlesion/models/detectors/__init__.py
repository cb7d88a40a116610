from .lesion_retinanet import LesionRetinaNet

__all__ = ['LesionRetinaNet']
