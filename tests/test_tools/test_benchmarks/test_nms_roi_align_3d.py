import json
from argparse import Namespace

import pytest

from mmlesion.utils import UserError

TOOL = 'benchmarks/nms_roi_align_3d.py'


def test_figures_belong_together(run_tool, tmp_path):
    out = tmp_path / 'figures.json'
    numbers = '--boxes', 60, '--lesions', 5, '--regions', 7, '--size', 10, '--channels', 2
    run_tool(TOOL, *numbers, '--runs', 1, '--warmup', 0, '--out', out)
    figures = json.loads(out.read_text())
    assert 5 <= figures['nms']['kept'] < 60
    for name, own in [
        ('nms', 'nms_3d'),
        ('roi_align', 'roi_align_3d'),
        ('roi_align_forward', 'roi_align_3d'),
    ]:
        seconds = figures[name]['seconds']
        assert seconds[own] > 0
        assert figures[name][f'loop_over_{own}'] == seconds['loop'] / seconds[own]


def test_different_results_are_an_error(load_tool):
    functions = dict(one=lambda: 1, two=lambda: 2)
    args = Namespace(runs=1, warmup=0, device='cpu')
    with pytest.raises(UserError, match='one and two have different results'):
        load_tool(TOOL).compare(functions, args, lambda a, b: a == b)
