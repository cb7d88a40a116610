import numpy as np
import pytest

from mmlesion.froc import deeplesion_protocol, luna16_protocol

TOOL = 'benchmarks/froc.py'


def test_both_ways_agree(load_tool):
    tool = load_tool(TOOL)
    boxes = tool.synthetic_boxes(np.random.default_rng(0), 20, 30, 500, 2)
    marks = tool.synthetic_marks(np.random.default_rng(0), 20, 30, 10, 500)
    for submission, protocol in [(boxes, deeplesion_protocol()), (marks, luna16_protocol())]:
        figures = tool.compare('small', submission, protocol, 1)
        assert figures['detections'] == 500 and figures['lesions'] == 30
        assert figures['difference'] < 1e-12 and 0 < figures['mean'] < 1


def test_repeats(run_tool):
    with pytest.raises(SystemExit, match='error: --repeats'):
        run_tool(TOOL, '--repeats', 0)
