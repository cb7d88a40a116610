import json
from pathlib import Path

import pytest

PHANTOM = Path(__file__).parents[3] / 'configs/phantom'
SEVEN = PHANTOM / 'slice_context/faster-rcnn_r18-a3d_fpn_7slices_phantom.py'
NINE = PHANTOM / 'elixirnet/faster-rcnn_r18_fpn_9slices_phantom.py'
PLAIN = PHANTOM / 'baselines/faster-rcnn_r18_fpn_phantom.py'


def figures(tmp_path, run_tool, *args):
    out = tmp_path / 'figures.json'
    run_tool('benchmarks/shared_layers.py', *args, '--size', 32, '--out', out)
    return {row['name']: row for row in json.loads(out.read_text())}


def test_what_operators_leave_to_share(tmp_path, run_tool, capsys):
    rows = figures(tmp_path, run_tool, SEVEN)
    assert list(rows) == ['A3D', 'AlignShift', 'TSM', 'I3D', 'ACS']
    for row in rows.values():
        assert row['bound'] == pytest.approx(row['gigamacs'] / row['shared'])
        assert row['bound'] >= row['whole'] > 1
    # A3D mixes all slices at once, TSM only neighbors: its center is the same for some layers
    assert rows['A3D']['bound'] < rows['TSM']['bound'] < 7
    assert rows['A3D']['gigamacs'] == rows['TSM']['gigamacs'] < rows['I3D']['gigamacs']
    assert 'least GMAC' in capsys.readouterr().out


def test_groups_are_shared_whole(tmp_path, run_tool):
    (row,) = figures(tmp_path, run_tool, NINE).values()
    assert row['bound'] == pytest.approx(3) and row['whole'] == pytest.approx(3)


def test_a_config_without_several_slices(run_tool):
    with pytest.raises(SystemExit, match='has no backbone of several slices'):
        run_tool('benchmarks/shared_layers.py', PLAIN)
