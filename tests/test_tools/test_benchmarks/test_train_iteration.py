import json
from pathlib import Path

import pytest

CONFIG = Path(__file__).parents[3] / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py'


def test_iterations_of_both(tmp_path, run_tool, capsys):
    out = tmp_path / 'figures.json'
    args = '--size', 64, '--runs', 1, '--warmup', 0, '--out', out
    run_tool('benchmarks/train_iteration.py', CONFIG, *args)
    rows = json.loads(out.read_text())
    assert [row['name'] for row in rows] == ['mmdet', 'mmlesion', 'kept']
    assert rows[0]['ratio'] == rows[0]['wall_ratio'] == 1
    assert all(row['loading'] > 0 and row['step'] > 0 for row in rows)
    assert 'to mmdet' in capsys.readouterr().out


def test_bad_options(run_tool):
    with pytest.raises(SystemExit, match='--batch, --size and --interval must be positive'):
        run_tool('benchmarks/train_iteration.py', CONFIG, '--batch', 0)
