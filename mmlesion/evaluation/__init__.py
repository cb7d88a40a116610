from .metrics import FROCMetric

__all__ = ['FROCMetric']
