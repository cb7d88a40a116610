import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS, TRANSFORMS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.runner import CheckpointLoader
from torch._utils import ExceptionWrapper

from mmlesion.utils import UserError
from mmlesion.utils.mmdet_tools import _names_runner, explain, print_help

SCRIPT = Path('/mmdet/tools/train.py')


def caught(function, *args, **kwargs):
    with pytest.raises(Exception) as info:
        function(*args, **kwargs)
    return info.value


def test_message_from_a_worker_keeps_its_own_lines():
    try:
        raise UserError('a.png: bad\nsee b: c')
    except UserError:
        wrapper = ExceptionWrapper(where='in DataLoader worker process 0')
    assert explain(caught(wrapper.reraise), SCRIPT) == 'a.png: bad\nsee b: c'


def test_missing_file():
    assert 'no/such.json' in explain(caught(open, 'no/such.json'), SCRIPT)


def test_unknown_component_and_option():
    assert explain(caught(MODELS.build, dict(type='NoHead')), SCRIPT).startswith('NoHead is not in')
    error = caught(MODELS.build, dict(type='TruncatedRPNHead', in_channels=4, treshold=1))
    assert 'treshold' in explain(error, SCRIPT)


@pytest.mark.parametrize(
    'config, message',
    [
        (dict(type='LoadCTSlices', num_slices=2), 'LoadCTSlices: num_slices must be odd and pos'),
        (dict(type='RandomLesionCrop', lesion_share=2), 'RandomLesionCrop: lesion_share'),
        (dict(type='WindowHU', windows=[(1, 0)]), 'WindowHU: windows: a window is (low, high)'),
        # which Python refuses, and not mmlesion: the line names the option
        (dict(type='NormalizeSpacing', spacing=None), 'NormalizeSpacing: '),
    ],
)
def test_an_option_that_a_constructor_refuses(config, message):
    explained = explain(caught(TRANSFORMS.build, config), SCRIPT)
    assert explained.startswith(message) and '\n' not in explained
    assert 'spacing' in explained or config['type'] != 'NormalizeSpacing'


def test_what_torch_refuses_is_told_with_the_options():
    head = dict(type='TruncatedRPNHead', num_classes=1, in_channels=-4, feat_channels=8)
    explained = explain(caught(MODELS.build, head), SCRIPT)
    assert explained.startswith('TruncatedRPNHead: ') and '\n' not in explained
    assert 'check its options' in explained and 'in_channels=-4, feat_channels=8' in explained


def test_an_unknown_optimizer_is_named():
    cfg = dict(type='OptimWrapper', optimizer=dict(type='NoOptimizer', lr=0.1))
    error = caught(lambda cfg: build_optim_wrapper(torch.nn.Linear(1, 1), cfg), cfg)
    assert explain(error, SCRIPT).startswith('optim_wrapper.optimizer.type is NoOptimizer, ')


@pytest.mark.skipif(torch.cuda.is_available(), reason='a GPU takes --amp')
def test_amp_on_a_cpu_is_refused_in_one_line():
    cfg = dict(type='AmpOptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    error = caught(build_optim_wrapper, torch.nn.Linear(1, 1), cfg)
    explained = explain(error, SCRIPT)
    assert explained.startswith('AmpOptimWrapper: ') and 'only available training on' in explained
    assert 'optimizer=SGD ( Parameter Group 0' in explained and '\n' not in explained


def test_a_value_error_outside_of_constructors_is_not_the_users():
    transform = TRANSFORMS.build(dict(type='WindowHU', windows=[(0, 1)]))
    error = caught(transform, dict(img=None))
    assert isinstance(error, (AttributeError, TypeError, ValueError))
    assert explain(error, SCRIPT) is None


def test_what_the_tool_itself_raises():
    error = caught(exec, compile("assert False, 'must be a pkl file'", str(SCRIPT), 'exec'))
    assert explain(error, SCRIPT) == 'must be a pkl file'


def test_what_a_config_raises(tmp_path):
    path = tmp_path / 'config.py'
    path.write_text("a = 1\nfold = {{'$MMLESION_NO_SUCH_FOLD:x'}}\n")
    error = caught(Config.fromfile, path)
    assert explain(error, SCRIPT) == f"{path}, line 2: name 'x' is not defined"


@pytest.mark.parametrize('text, names', [("runner_type = 'FoldRunner'", True), ('a = 1', False)])
def test_a_config_that_names_its_runner(tmp_path, text, names):
    path = tmp_path / 'config.py'
    path.write_text(text)
    for arguments in ([str(path)], ['--launcher', 'pytorch', '--work-dir', 'x', str(path)]):
        assert _names_runner(arguments) == names
    assert not _names_runner(['--launcher', 'pytorch'])


def test_weights_of_a_torchvision_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, 'torchvision', None)
    error = caught(CheckpointLoader.load_checkpoint, 'torchvision://vgg19')
    assert '--cfg-options model.backbone.init_cfg.checkpoint=FILE' in explain(error, SCRIPT)
    assert explain(caught(__import__, 'no_such_module'), SCRIPT) is None


def test_other_errors_are_not_the_users():
    assert explain(caught([].index, 1), SCRIPT) is None
    assert explain(caught({}.__getitem__, 'key'), SCRIPT) is None


def test_help_of_a_tool_that_would_fail_to_run(tmp_path, monkeypatch, capsys):
    script = tmp_path / 'tool.py'
    script.write_text(
        'import argparse\nimport no_such_module\n\n\ndef parse_args():\n'
        "    parser = argparse.ArgumentParser(description='a tool')\n"
        "    parser.add_argument('--option')\n    return parser.parse_args()\n"
    )
    monkeypatch.setattr(sys, 'argv', ['tool.py', '--help'])
    with pytest.raises(SystemExit) as info:
        print_help(script)
    assert info.value.code == 0
    assert 'a tool' in (text := capsys.readouterr().out) and '--option' in text


def test_help_of_a_tool_whose_parser_needs_its_imports(tmp_path):
    script = tmp_path / 'tool.py'
    script.write_text('import torch\n\n\ndef parse_args():\n    return torch.parse()\n')
    assert print_help(script) is None
