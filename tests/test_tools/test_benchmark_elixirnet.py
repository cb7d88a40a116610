import json
from pathlib import Path

import pytest
from mmengine.config import Config

from mmlesion.utils.benchmark import (
    Seconds,
    clocked,
    median_ratio,
    take_turns,
    without_pretrained,
)

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / 'tools/analysis_tools/benchmark_elixirnet.py'
CONFIGS = [
    ROOT / 'configs/phantom/baselines/faster-rcnn_r18_fpn_phantom.py',
    ROOT / 'configs/phantom/elixirnet/elixirnet_r18_fpn_phantom.py',
]


@pytest.fixture
def tool(load_tool):
    return load_tool(SCRIPT)


def test_figures_of_two_detectors(tool, run_tool, tmp_path, capsys):
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
        assert 0 < max(row['wall'][part] for part in tool.PARTS) <= row['wall']['total'] < 60
    features = [row['parameters']['features'] for row in many]
    assert features[0] == features[1]
    assert plain['parameters']['roi_head'] > 5 * elixirnet['parameters']['roi_head']
    assert 'elixirnet_r18_fpn_phantom' in capsys.readouterr().out


def test_configs_of_every_backbone_are_alike_in_their_features(tool):
    for reference, *others in tool.BACKBONES.values():
        backbone = tool.load_config(reference).model.backbone
        for config in map(tool.load_config, others):
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


def test_turns_change_direction_and_leave_the_warm_up_out():
    calls = []
    functions = {name: lambda name=name: calls.append(name) or len(calls) for name in 'ab'}
    turns = take_turns(functions, runs=2, warmup=1)
    assert calls == ['b', 'a', 'a', 'b', 'b', 'a']
    assert turns == [dict(a=3, b=4), dict(a=6, b=5)]


def test_ratio_is_the_median_of_ratios():
    turns = [dict(a=1, b=2), dict(a=10, b=40), dict(a=2, b=6)]
    assert median_ratio(turns, 'b', 'a') == 3


def test_clock():
    result, seconds = clocked(sum, range(10**6))
    assert result == 499999500000
    assert 0 < seconds.processor and 0 < seconds.wall < 10
    assert seconds + Seconds(1, 2) == Seconds(seconds.wall + 1, seconds.processor + 2)


def test_weights_to_download_are_left_out_everywhere():
    pretrained = dict(type='Pretrained', checkpoint='torchvision://resnet50')
    kaiming = dict(type='Kaiming')
    cfg = Config(
        dict(a=dict(init_cfg=pretrained), b=[dict(init_cfg=pretrained), 1], init_cfg=kaiming)
    )
    plain = without_pretrained(cfg._cfg_dict)
    assert plain == dict(a=dict(init_cfg=None), b=[dict(init_cfg=None), 1], init_cfg=kaiming)
    assert cfg.a.init_cfg == pretrained
