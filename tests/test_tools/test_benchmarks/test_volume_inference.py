import json
from pathlib import Path

import pytest
from torch import nn

ROOT = Path(__file__).parents[3]
NINE = ROOT / 'configs/phantom/elixirnet/faster-rcnn_r18_fpn_9slices_phantom.py'


def test_shared_features_give_the_same_scores(tmp_path, run_tool, capsys):
    out = tmp_path / 'figures.json'
    args = '--size', 64, '--slices', 4, '--runs', 1, '--warmup', 0, '--out', out
    run_tool('benchmarks/volume_inference.py', NINE, *args)
    rows = {row['name']: row for row in json.loads(out.read_text())}
    kinds = ['anew', 'kept', 'shared', 'merged', 'fused', 'channels last', 'amp']
    assert list(rows) == kinds
    assert rows['anew']['ratio'] == 1 and rows['shared']['slices_per_second'] > 0
    for name in ('kept', 'shared', 'merged', 'fused', 'channels last'):
        assert rows[name]['detections'] == rows['anew']['detections'] > 0
        assert rows[name]['difference'] < 1e-4
    assert 'slices/s' in capsys.readouterr().out


def test_backbone_and_neck_are_compiled(tmp_path, run_tool, monkeypatch):
    compiled = []
    # not compiled in fact, which takes a minute
    monkeypatch.setattr(nn.Module, 'compile', lambda module: compiled.append(type(module).__name__))
    out = tmp_path / 'figures.json'
    args = '--size', 64, '--slices', 2, '--runs', 1, '--out', out
    run_tool('benchmarks/volume_inference.py', NINE, '--kinds', 'kept', 'compiled', *args)
    assert compiled == ['GroupedSliceBackbone', 'Sequential']
    kept, other = json.loads(out.read_text())
    assert other['detections'] == kept['detections'] > 0
    assert other['difference'] == 0


def test_bad_options(run_tool):
    with pytest.raises(SystemExit, match='--slices and --batch-size must be at least 1'):
        run_tool('benchmarks/volume_inference.py', NINE, '--slices', '0')
