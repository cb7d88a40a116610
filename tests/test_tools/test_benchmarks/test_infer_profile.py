import json
from pathlib import Path

import pytest

PHANTOM = Path(__file__).parents[3] / 'configs/phantom'
NINE = PHANTOM / 'elixirnet/faster-rcnn_r18_fpn_9slices_phantom.py'


def test_stages_add_up(tmp_path, run_tool, capsys):
    out = tmp_path / 'figures.json'
    args = '--size', 64, '--slices', 6, '--score-thr', 0.5, '--out', out
    run_tool('benchmarks/infer_profile.py', NINE, *args)
    (figures,) = json.loads(out.read_text())
    assert figures['slices_per_second'] == pytest.approx(6 / figures['seconds'])
    own = {row['stage']: row for row in figures['stages'] if not row['beside']}
    beside = {row['stage']: row for row in figures['stages'] if row['beside']}
    assert sum(row['seconds'] for row in own.values()) == pytest.approx(figures['seconds'])
    assert own['reading']['calls'] == own['stacking']['calls'] == 1
    # batches of four
    assert own['backbone']['calls'] == own['roi_head']['calls'] == 2
    assert own['NMS']['calls'] > 0
    assert beside['pipeline: LoadCTSlicesFromVolume']['calls'] == 6
    assert own['writing: label_map']['calls'] == 1
    assert 'pipeline: WindowHU' in capsys.readouterr().out


def test_bad_options(run_tool):
    with pytest.raises(SystemExit, match='--slices must be at least 1'):
        run_tool('benchmarks/infer_profile.py', NINE, '--slices', '0')
    with pytest.raises(SystemExit, match='--checkpoint is for a single config'):
        run_tool('benchmarks/infer_profile.py', NINE, NINE, '--checkpoint', 'a.pth')
