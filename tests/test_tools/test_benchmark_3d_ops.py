import runpy
from pathlib import Path

import pytest

from mmlesion.utils import UserError

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/benchmark_3d_ops.py'


def test_figures_belong_together():
    benchmark = runpy.run_path(str(TOOL))['benchmark']
    figures = benchmark(boxes=60, lesions=5, regions=7, size=10, channels=2, runs=1, warmup=0)
    assert 5 <= figures['nms']['kept'] < 60
    for name, own in [
        ('nms', 'nms_3d'),
        ('roi_align', 'roi_align_3d'),
        ('roi_align_forward', 'roi_align_3d'),
    ]:
        seconds = figures[name]['seconds']
        assert seconds[own] > 0
        assert figures[name][f'loop_over_{own}'] == seconds['loop'] / seconds[own]


def test_different_results_are_an_error():
    compare = runpy.run_path(str(TOOL))['compare']
    functions = dict(one=lambda: 1, two=lambda: 2)
    with pytest.raises(UserError, match='one and two have different results'):
        compare(functions, 1, 0, 'cpu', lambda a, b: a == b)
