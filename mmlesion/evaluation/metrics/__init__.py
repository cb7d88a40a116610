"""Metrics for mmdet's training and test loops."""

from .dump_lesion_results import DumpLesionResults
from .froc_metric import FROCMetric
from .lesion_retrieval_metric import LesionRetrievalMetric

__all__ = ['DumpLesionResults', 'FROCMetric', 'LesionRetrievalMetric']
