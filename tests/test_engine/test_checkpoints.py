import json
import os
import random
from types import SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from line_runs import Kill, line_runner
from mmengine.model import BaseModule
from mmengine.runner import Runner, load_checkpoint
from mmengine.runner import checkpoint as mmengine_checkpoint
from mmengine.runner.checkpoint import CheckpointLoader

import mmlesion  # noqa: F401  (registers the loader)
from mmlesion.apis.inferencer import _load_weights
from mmlesion.engine import EpochSeedHook, load_from_local
from mmlesion.engine import checkpoints as checkpoint_module
from mmlesion.utils import UserError


def make_runner(work_dir, hooks=(), **options):
    return line_runner(
        Runner,
        work_dir,
        param_scheduler=dict(type='CosineAnnealingLR', T_max=4),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        custom_hooks=list(hooks),
        **options,
    )


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_mmengine_uses_the_loader():
    assert CheckpointLoader._get_checkpoint_loader('work_dirs/epoch_1.pth') is load_from_local


def broken_and_resumed(work_dir, hooks):
    with pytest.raises(KeyboardInterrupt):
        make_runner(work_dir, hooks=[Kill(), *hooks]).train()
    runner = make_runner(work_dir, hooks=hooks, resume=True)
    runner.train()
    return runner


def losses(runner):
    return runner.message_hub.get_scalar('train/loss').data[0]


def test_resumed_run_equals_an_unbroken_one(tmp_path):
    whole = make_runner(tmp_path / 'whole', hooks=[EpochSeedHook()])
    whole.train()
    resumed = broken_and_resumed(tmp_path / 'broken', [EpochSeedHook()])
    np.testing.assert_array_equal(losses(resumed), losses(whole))
    assert len(losses(whole)) == 8
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


def test_each_epoch_has_its_seed():
    def draw(seed, epoch):
        EpochSeedHook().before_train_epoch(SimpleNamespace(seed=seed, epoch=epoch))
        return float(torch.rand(1)), float(np.random.rand()), random.random()

    draws = [draw(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert draws == [draw(seed, epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(len(set(one)) == 4 for one in zip(*draws))


def test_code_is_refused_and_named(tmp_path):
    path, trace = tmp_path / 'bad.pth', tmp_path / 'made'
    torch.save(dict(state_dict={}, meta=RunsCode(trace)), path)
    with pytest.raises(UserError, match=rf'bad\.pth was rejected.*{os.mkdir.__module__}\.mkdir'):
        load_from_local(str(path))
    assert not trace.exists()


@pytest.fixture(params=['script', 'code'])
def hostile(tmp_path, request):
    """A checkpoint that mmengine's loaders, with some version of torch, take or run."""
    path, trace = tmp_path / 'bad.pth', tmp_path / 'made'
    if request.param == 'script':
        torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))
    else:
        torch.save(dict(state_dict={}, meta=RunsCode(trace)), path)
    yield path
    assert not trace.exists()


def load_by_runner(path, work_dir, **options):
    runner = make_runner(work_dir, **options)
    runner.load_or_resume()


def resume_automatically(path, work_dir):
    work_dir.mkdir()
    (work_dir / 'last_checkpoint').write_text(str(path))
    load_by_runner(path, work_dir, resume=True)


def initialize(path, work_dir):
    config = dict(type='Pretrained', checkpoint=str(path))
    BaseModule(init_cfg=config).init_weights()


@pytest.mark.parametrize(
    'enter',
    [
        lambda path, work_dir: load_by_runner(path, work_dir, load_from=str(path)),
        lambda path, work_dir: load_by_runner(path, work_dir, load_from=str(path), resume=True),
        resume_automatically,
        initialize,
        lambda path, _: initialize(f'open-mmlab://{path.stem}', _),
        lambda path, _: load_checkpoint(torch.nn.Linear(1, 1), str(path)),
        lambda path, _: _load_weights(torch.nn.Linear(1, 1), str(path)),
    ],
    ids=['load_from', 'resume', 'automatic', 'init_cfg', 'by_name', 'load_checkpoint', 'infer'],
)
def test_every_way_to_a_checkpoint_is_guarded(tmp_path, monkeypatch, hostile, enter):
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    (tmp_path / 'open_mmlab.json').write_text(json.dumps({hostile.stem: hostile.name}))
    with pytest.raises(UserError, match=r'bad\.pth was rejected'):
        enter(hostile, tmp_path / 'run')


ADDRESS = 'https://weights.test/some/bad.pth?version=1'


@pytest.mark.parametrize(
    'name',
    ['https://weights.test/some/bad.pth?version=1', 'http://weights.test/bad.pth']
    + ['torchvision://known', 'modelzoo://known', 'open-mmlab://known', 'openmmlab://known']
    + ['mmcls://known'],
)
@pytest.mark.parametrize('good', [False, True])
def test_what_is_downloaded_is_guarded(tmp_path, monkeypatch, name, good):
    saved = dict(state_dict={'backbone.weight': torch.ones(2)})
    addresses = []

    def download(address, path, progress):
        addresses.append(address)
        torch.save(saved if good else dict(meta=RunsCode(tmp_path / 'made')), path)

    monkeypatch.setattr(torch.hub, 'download_url_to_file', download)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    for catalog in ('get_torchvision_models', 'get_external_models', 'get_mmcls_models'):
        monkeypatch.setattr(mmengine_checkpoint, catalog, lambda: {'known': ADDRESS})
    if good:
        for _ in range(2):  # the second is from torch.hub's folder
            loaded = CheckpointLoader.load_checkpoint(name, 'cpu')['state_dict']
            assert list(loaded) == ['weight' if name.startswith('mmcls') else 'backbone.weight']
    else:
        with pytest.raises(UserError, match=r'hub/checkpoints/bad\.pth was rejected'):
            CheckpointLoader.load_checkpoint(name, 'cpu')
    assert addresses == [name if name.startswith('http') else ADDRESS]
    assert not (tmp_path / 'made').exists()


def test_a_file_from_before_torch_1_6_is_read(tmp_path):
    path = tmp_path / 'old.pth'
    torch.save(dict(weight=torch.ones(2)), path, _use_new_zipfile_serialization=False)
    assert torch.equal(load_from_local(str(path))['weight'], torch.ones(2))


def test_loaders_of_mmengine_that_are_left_read_data_alone():
    """They call torch.load, whose default is weights_only."""
    loaders = set(CheckpointLoader._schemes.values())
    left = {one.__name__ for one in loaders if one.__module__ != checkpoint_module.__name__}
    assert left == {'load_from_ceph', 'load_from_pavi'}


@pytest.mark.parametrize(
    ('error', 'name', 'message'),
    [
        (URLError('no route'), 'https://weights.test/a.pth', 'cannot download https.*no route'),
        (None, 'open-mmlab://none', 'there are no weights open-mmlab://none'),
        (ImportError, 'torchvision://resnet18', 'torchvision, which is not installed'),
    ],
)
def test_what_cannot_be_downloaded(tmp_path, monkeypatch, error, name, message):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(torch.hub, 'download_url_to_file', fail)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    monkeypatch.setattr(mmengine_checkpoint, 'get_torchvision_models', fail)
    with pytest.raises(UserError, match=message):
        CheckpointLoader.load_checkpoint(name)


def test_a_config_in_a_checkpoint_is_not_run(tmp_path):
    """mmengine's ``Runner.resume`` runs ``meta['config']`` as Python."""
    make_runner(tmp_path / 'first', hooks=[]).train()
    path, trace = tmp_path / 'first' / 'epoch_2.pth', tmp_path / 'made'
    checkpoint = load_from_local(str(path))
    checkpoint['meta']['config'] = f'import os\nos.mkdir({str(trace)!r})\n'
    torch.save(checkpoint, tmp_path / 'bad.pth')
    runner = make_runner(tmp_path / 'second', load_from=str(tmp_path / 'bad.pth'), resume=True)
    runner.load_or_resume()
    assert runner.epoch == 2
    assert not trace.exists()


def test_damaged_and_missing(tmp_path):
    path = tmp_path / 'half.pth'
    torch.save(dict(weight=torch.zeros(1000)), path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match='half.pth cannot be read'):
        load_from_local(str(path))
    with pytest.raises(FileNotFoundError, match='none.pth'):
        load_from_local(str(tmp_path / 'none.pth'))
