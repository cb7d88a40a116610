"""Evaluation: FROC by the rules of the public benchmarks, as functions and mmdet metrics."""

from mmlesion.utils.lazy_exports import lazy_exports

_METRICS = ('DumpLesionResults', 'FROCMetric', 'LesionRetrievalMetric')
__all__ = [*_METRICS]
# these need mmdet, which the functions of this package do without
__getattr__ = lazy_exports(__name__, dict.fromkeys(_METRICS, '.metrics'))
