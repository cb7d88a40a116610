from .metrics import FROCMetric, LesionRetrievalMetric

__all__ = ['FROCMetric', 'LesionRetrievalMetric']
