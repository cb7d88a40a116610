"""The wheel, and an editable install: configs and tools come with them, found as ``mmlesion::``."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PARTS = ('configs', 'mmlesion', 'requirements', 'tools')
FILES = ('LICENSE', 'MANIFEST.in', 'README.md', 'pyproject.toml', 'setup.py')

pytestmark = pytest.mark.skipif(
    find_spec('setuptools') is None or find_spec('wheel') is None or find_spec('pip') is None,
    reason='building a wheel takes pip, setuptools and wheel',
)

# what a user's own program does: a light import, then configs, then a model of either scope
PROGRAM = """
import sys
import mmlesion
assert mmlesion.__file__.startswith(TARGET), mmlesion.__file__
assert not {'torch', 'mmcv', 'mmdet'} & set(sys.modules)

from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS, init_default_scope

cfg = Config.fromfile('mine.py')
assert cfg.model.rpn_head.type == 'TruncatedRPNHead' and cfg.train_dataloader.batch_size == 3
assert cfg.train_dataloader.dataset._scope_ == 'mmlesion'
whole = get_config('mmlesion::phantom/baselines/faster-rcnn_r18_fpn_trpn_phantom.py')
assert whole.filename.startswith(TARGET), whole.filename
init_default_scope('mmdet')
for config in (cfg.model, whole.model, dict(type='mmlesion.TruncatedRPNHead', in_channels=8)):
    model = MODELS.build(config)
    head = getattr(model, 'rpn_head', model)
    assert type(head).__module__.startswith('mmlesion.models'), type(head)

from mmlesion.report.page import ASSETS, VENDOR
parts = (ASSETS / 'volume.js', VENDOR / 'niivue/niivue.umd.js', VENDOR / 'niivue/LICENSE')
assert all(part.is_file() for part in parts), parts
"""


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """A copy of what a release holds, so that nothing is built into the checkout."""
    copied = tmp_path_factory.mktemp('source')
    skip = shutil.ignore_patterns('__pycache__', '.mim')
    for name in PARTS:
        shutil.copytree(ROOT / name, copied / name, ignore=skip)
    for name in FILES:
        shutil.copy(ROOT / name, copied)
    return copied


def run(*arguments, cwd, path=''):
    env = dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS='1', PIP_NO_INDEX='1')
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, encoding='utf-8', cwd=cwd, env=env)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope='module')
def target(source, tmp_path_factory):
    """A fresh folder into which the wheel is installed."""
    folder = tmp_path_factory.mktemp('wheel')
    options = ('-q', '--no-deps', '--disable-pip-version-check')
    wheel = ('wheel', '--no-build-isolation', '-w', folder, source)
    run('-m', 'pip', *wheel, *options, cwd=folder)
    (built,) = folder.glob('mmlesion-*.whl')
    run('-m', 'pip', 'install', '--target', folder / 'site', built, *options, cwd=folder)
    return folder / 'site'


def files_below(folder):
    """Configs, scripts and their pages, relative to the folder."""
    wanted = ('.md', '.py', '.sh', '.yml')
    return {path.relative_to(folder) for path in folder.rglob('*') if path.suffix in wanted}


def test_a_wheel_has_all_configs_and_tools(target):
    mim = target / 'mmlesion/.mim'
    for name in ('configs', 'tools'):
        assert files_below(mim / name) == files_below(ROOT / name)
        assert len(files_below(ROOT / name)) > 30
    assert yaml.safe_load((mim / 'model-index.yml').read_text()) == {'Import': ['metafile.yml']}
    models = yaml.safe_load((mim / 'metafile.yml').read_text())['Models']
    assert len(models) > 150 and all((mim / model['Config']).is_file() for model in models)


def test_configs_inherit_and_build_from_a_wheel(target, tmp_path):
    name = 'phantom/baselines/faster-rcnn_r18_fpn_trpn_phantom.py'
    text = f"_base_ = 'mmlesion::{name}'\ntrain_dataloader = dict(batch_size=3)\n"
    (tmp_path / 'mine.py').write_text(text)
    run(
        '-W', 'ignore', '-c', f'TARGET = {str(target)!r}\n{PROGRAM}', cwd=tmp_path, path=str(target)
    )


def test_tools_run_from_a_wheel(target, tmp_path):
    tool = target / 'mmlesion/.mim/tools/train.py'
    assert run(tool, '--help', cwd=tmp_path, path=str(target)).startswith('usage: train.py')
    assert run('-m', 'mmlesion', 'train', '--help', cwd=tmp_path, path=str(target)) == run(
        tool, '--help', cwd=tmp_path, path=str(target)
    )
    assert (target / 'bin/mmlesion').is_file()
    assert (target / 'mmlesion/weights/lung-nodules.safetensors').is_file()


def test_an_editable_install_links_them(source, tmp_path):
    program = 'import sys; from setuptools.build_meta import build_editable as b; b(sys.argv[1])'
    run('-W', 'ignore', '-c', program, tmp_path, cwd=source)
    mim = source / 'mmlesion/.mim'
    for name in ('configs', 'tools'):
        assert (mim / name).samefile(source / name)
    assert mim.joinpath('configs').is_symlink() and list(tmp_path.glob('*.whl'))
