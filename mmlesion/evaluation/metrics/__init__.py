from .froc_metric import FROCMetric
from .lesion_retrieval_metric import LesionRetrievalMetric

__all__ = ['FROCMetric', 'LesionRetrievalMetric']
