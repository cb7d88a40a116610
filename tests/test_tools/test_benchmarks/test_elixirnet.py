import json
from pathlib import Path

import pytest
from harness.timing import PARTS

from mmlesion.utils.configs import load_config

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / 'tools/benchmarks/elixirnet.py'
CONFIGS = [
    ROOT / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py',
    ROOT / 'configs/phantom/elixirnet/elixirnet_r18_fpn_phantom.py',
]


@pytest.fixture
def tool(load_tool):
    return load_tool(SCRIPT)


def test_figures_of_two_detectors(run_tool, tmp_path, capsys):
    out = tmp_path / 'cost.json'
    settings = ['--size', 128, '--runs', 2, '--warmup', 0, '--proposals', 40, 20]
    run_tool(SCRIPT, *CONFIGS, *settings, '--out', out)
    many, few = json.loads(out.read_text())
    assert [row['proposals'] for row in many + few] == [40, 40, 20, 20]
    plain, elixirnet = many
    assert plain['wall_ratio'] == plain['processor_ratio'] == 1
    assert elixirnet['wall_ratio'] > 0
    for row in many:
        *parts, total = row['parameters'].values()
        assert sum(parts) == total
        assert 0 < max(row['wall'][part] for part in PARTS) <= row['wall']['total'] < 60
    features = [row['parameters']['features'] for row in many]
    assert features[0] == features[1]
    assert plain['parameters']['roi_head'] > 2 * elixirnet['parameters']['roi_head']
    assert 'elixirnet_r18_fpn_phantom' in capsys.readouterr().out


def test_configs_of_every_backbone_are_alike_in_their_features(tool):
    for reference, *others in tool.BACKBONES.values():
        backbone = load_config(reference).model.backbone
        for config in map(load_config, others):
            for key in ('type', 'depth', 'num_stages', 'dcn', 'stage_with_dcn'):
                assert config.model.backbone.get(key) == backbone.get(key)


@pytest.mark.parametrize(
    'args, message',
    [
        (['--size', '100'], '--size 100'),
        (['--runs', '0'], '--runs'),
        (['--proposals', '0'], '--proposals'),
        (['nowhere.py'], 'nowhere.py does not exist'),
        ([CONFIGS[0], CONFIGS[0]], 'given twice'),
        (
            [ROOT / 'configs/phantom/baselines/retinanet_r18_fpn_phantom.py'],
            'not of a two-stage detector',
        ),
    ],
)
def test_bad_input(run_tool, args, message):
    with pytest.raises(SystemExit, match=f'error: .*{message}'):
        run_tool(SCRIPT, *args)
