from .metrics import DumpLesionResults, FROCMetric, LesionRetrievalMetric

__all__ = ['DumpLesionResults', 'FROCMetric', 'LesionRetrievalMetric']
