import runpy
from pathlib import Path

TOOL = Path(__file__).parents[2] / 'tools/analysis_tools/benchmark_trpn.py'


def test_figures_belong_together():
    benchmark = runpy.run_path(str(TOOL))['benchmark']
    figures = benchmark(size=64, channels=8, runs=2, warmup=0)
    assert figures['rpn_seconds'] > 0 and figures['trpn_seconds'] > 0
    assert 0.3 < figures['kept'] < 0.7
    # 341 locations of 15 anchors, at most 1000 a level and 1000 in all
    assert 0 < figures['trpn_proposals'] <= 1000
    again = benchmark(size=64, channels=8, runs=1, warmup=0)
    assert again['trpn_proposals'] == figures['trpn_proposals']
