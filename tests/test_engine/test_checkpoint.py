import os
import random
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from torch.utils.data import DataLoader

import mmlesion  # noqa: F401  (registers the loader)
from mmlesion.engine import EpochSeedHook, load_from_local
from mmlesion.utils import UserError


class Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def forward(self, x, mode):
        noise = torch.rand_like(x)  # as the samplers of mmdet's losses draw
        return dict(loss=(self.layer(x) - 3 * x + noise).square().mean())


class Kill(Hook):
    def before_train_epoch(self, runner):
        if runner.epoch == 2:
            raise KeyboardInterrupt


def make_runner(work_dir, hooks=(), **options):
    torch.manual_seed(0)
    data = [dict(x=torch.full((1,), float(i))) for i in range(8)]
    return Runner(
        model=Line(),
        work_dir=str(work_dir),
        train_dataloader=DataLoader(data, batch_size=4),
        train_cfg=dict(by_epoch=True, max_epochs=4),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=1e-3, momentum=0.9)),
        param_scheduler=dict(type='CosineAnnealingLR', T_max=4),
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        randomness=dict(seed=0),
        custom_hooks=list(hooks),
        experiment_name=work_dir.name,
        **options,
    )


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


class ReadsAttribute:
    def __reduce__(self):
        return getattr, (torch.Tensor, '__class__')


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


@pytest.mark.parametrize('legacy', [False, True])
def test_tensors_and_plain_values(tmp_path, legacy):
    path = tmp_path / 'a.pth'
    saved = dict(
        state_dict=torch.nn.Conv2d(1, 2, 3).state_dict(),
        parameter=torch.nn.Parameter(torch.ones(2, dtype=torch.float16)),
        meta=dict(size=torch.Size([2, 3]), dtype=torch.bfloat16, score=np.float64(0.5)),
        array=np.arange(3),
        milestones=Counter([8, 11]),
    )
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
    loaded = CheckpointLoader.load_checkpoint(str(path), map_location='cpu')
    torch.testing.assert_close(loaded['state_dict'], saved['state_dict'])
    torch.testing.assert_close(loaded['parameter'], saved['parameter'])
    assert loaded['meta'] == saved['meta']
    np.testing.assert_array_equal(loaded['array'], saved['array'])
    assert loaded['milestones'] == Counter([8, 11])


@pytest.mark.parametrize('legacy', [False, True])
def test_code_is_refused_and_named(tmp_path, legacy):
    path, trace = tmp_path / 'bad.pth', tmp_path / 'made'
    saved = dict(state_dict={}, meta=RunsCode(trace))
    torch.save(saved, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(UserError, match=rf'bad\.pth was refused.*{os.mkdir.__module__}\.mkdir'):
        load_from_local(str(path))
    assert not trace.exists()


def test_getattr_serves_only_history_buffers(tmp_path):
    path = tmp_path / 'bad.pth'
    torch.save(dict(meta=ReadsAttribute()), path)
    with pytest.raises(UserError, match='__class__'):
        load_from_local(str(path))


def test_torchscript_is_refused(tmp_path):
    path = tmp_path / 'script.pth'
    torch.jit.script(torch.nn.Linear(1, 1)).save(str(path))
    with pytest.raises(UserError, match='TorchScript'):
        load_from_local(str(path))


def test_damaged_and_missing(tmp_path):
    path = tmp_path / 'half.pth'
    torch.save(dict(weight=torch.zeros(1000)), path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match='half.pth cannot be read'):
        load_from_local(str(path))
    with pytest.raises(FileNotFoundError, match='none.pth'):
        load_from_local(str(tmp_path / 'none.pth'))
