import json
from pathlib import Path

import pytest
from forked_programs import run_script

ROOT = Path(__file__).parents[3]
TOOL = ROOT / 'tools/benchmarks/lens.py'
SMALL = ROOT / 'configs/phantom/_base_/models/lens_small.py'


def test_figures_belong_together(tmp_path):
    out = tmp_path / 'figures.json'
    args = '--size', 64, '--proposals', 20, '--runs', 1, '--warmup', 0, '--out', out
    result = run_script(TOOL, SMALL, *args)
    assert result.returncode == 0, result.stderr
    assert 'AFP to RPN, paper 0.87: time' in result.stdout
    figures = json.loads(out.read_text())
    ratios = figures.pop('ratios')
    assert list(figures) == ['one_dataset_rpn', 'one_dataset', 'all_datasets']
    for row in figures.values():
        parts = row['features'] + row['rpn'] + row['roi_head']
        assert row['total'] == pytest.approx(parts) and row['proposals'] == 20
    pairs = dict(
        proposal_network=('one_dataset', 'one_dataset_rpn'),
        datasets=('all_datasets', 'one_dataset'),
    )
    for name, (a, b) in pairs.items():
        assert ratios[name]['wall'] == pytest.approx(figures[a]['total'] / figures[b]['total'])
        assert ratios[name]['parameters'] == pytest.approx(
            figures[a]['parameters'] / figures[b]['parameters']
        )


@pytest.mark.parametrize(
    'args, message',
    [
        (('nowhere.py',), 'nowhere.py does not exist'),
        ((ROOT / 'configs/_base_/models/faster-rcnn_r50_fpn.py',), 'is not the config of a LENS'),
    ],
)
def test_other_configs_are_refused(args, message):
    result = run_script(TOOL, *args)
    assert result.returncode == 1 and message in result.stderr
    assert 'Traceback' not in result.stderr
