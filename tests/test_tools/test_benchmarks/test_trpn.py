import json


def test_figures_belong_together(run_tool, tmp_path):
    def figures_of(*arguments):
        out = tmp_path / 'figures.json'
        small = '--size', 64, '--channels', 8, '--warmup', 0
        run_tool('benchmarks/trpn.py', *small, *arguments, '--out', out)
        return json.loads(out.read_text())

    figures = figures_of('--runs', 2)
    assert figures['rpn_seconds'] > 0 and figures['trpn_seconds'] > 0
    assert 0.3 < figures['kept'] < 0.7
    # 341 locations of 15 anchors, at most 1000 a level and 1000 in all
    assert 0 < figures['trpn_proposals'] <= 1000
    assert figures_of('--runs', 1)['trpn_proposals'] == figures['trpn_proposals']
