import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SMALL = ROOT / 'configs/phantom/slice_context/faster-rcnn_r18-a3d_fpn_3slices_phantom.py'


def test_figures_of_each_operator(tmp_path, run_tool, capsys):
    out = tmp_path / 'figures.json'
    args = '--size', 32, '--runs', 1, '--warmup', 0, '--out', out
    run_tool('benchmarks/slice_context.py', SMALL, *args)
    rows = {row['name']: row for row in json.loads(out.read_text())}
    assert list(rows) == ['none', 'A3D', 'AlignShift', 'TSM', 'I3D', 'ACS']
    plain = rows['none']['parameters']
    for name in ('AlignShift', 'TSM', 'ACS'):
        assert rows[name]['parameters'] == plain
    # 3 x 3 weights of each of the input channels of 16 convolutions
    channels = 4 * 32 + (32 + 3 * 64) + (64 + 3 * 128) + (128 + 3 * 256)
    assert rows['A3D']['parameters'] == plain + 9 * channels
    assert rows['I3D']['parameters'] > 2 * plain
    assert all(row['wall'] > 0 and row['ratio'] > 0 for row in rows.values())
    printed = capsys.readouterr().out
    assert all(name in printed for name in rows)


def test_other_configs_are_refused(run_tool):
    config = ROOT / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py'
    with pytest.raises(SystemExit, match='has no SliceContextBackbone'):
        run_tool('benchmarks/slice_context.py', config)
