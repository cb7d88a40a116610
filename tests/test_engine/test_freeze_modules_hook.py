import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import distributed, nn

from mmlesion.engine import FreezeModulesHook
from mmlesion.utils import UserError
from mmlesion.utils.processes import leave_process_group


class SmallModel(BaseModel):
    """A backbone with batch normalization and dropout, and a head with batch normalization."""

    def __init__(self):
        super().__init__()
        layers = nn.Conv1d(1, 4, 3), nn.BatchNorm1d(4), nn.Dropout()
        self.backbone = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.Conv1d(4, 1, 3), nn.BatchNorm1d(1))

    def forward(self, x, mode='tensor'):
        self.training_parts = [
            name for name, module in self.named_modules() if name and module.training
        ]
        features = self.backbone(torch.stack(x))
        return dict(loss=(self.head(features) - 1).abs().mean())


def make_runner(work_dir, max_epochs, modules=('backbone',), **options):
    generator = torch.Generator().manual_seed(0)
    dataset = [dict(x=torch.randn(1, 12, generator=generator)) for _ in range(8)]
    loader = dict(
        batch_size=2,
        dataset=dataset,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    torch.manual_seed(0)
    return Runner(
        SmallModel(),
        str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=0.1)),
        custom_hooks=[FreezeModulesHook(modules)],
        experiment_name=f'{work_dir}-{max_epochs}',
        **options,
    )


def state(model, name):
    return {k: v.clone() for k, v in model.state_dict().items() if k.startswith(name)}


def same(first, second):
    return [torch.equal(first[key], second[key]) for key in first]


def test_weights_and_statistics_stay_and_the_rest_trains(tmp_path):
    runner = make_runner(tmp_path, 2)
    frozen, trained = state(runner.model, 'backbone'), state(runner.model, 'head')
    runner.train()
    assert len(frozen) == 7 and all(same(frozen, state(runner.model, 'backbone')))
    assert not any(same(trained, state(runner.model, 'head')))
    assert runner.model.backbone[0].weight.grad is None
    assert runner.model.training_parts == ['data_preprocessor', 'head', 'head.0', 'head.1']


def test_a_resumed_run_ends_as_the_unbroken_one(tmp_path):
    unbroken = make_runner(tmp_path / 'unbroken', 2)
    unbroken.train()
    make_runner(tmp_path / 'broken', 1).train()
    resumed = make_runner(tmp_path / 'broken', 2, resume=True)
    with torch.no_grad():
        resumed.model.backbone[0].weight.zero_()  # what is frozen comes from the checkpoint
    resumed.train()
    assert resumed.epoch == 2
    assert all(same(unbroken.model.state_dict(), resumed.model.state_dict()))


def test_without_the_hook_all_of_it_would_train(tmp_path):
    runner = make_runner(tmp_path, 1, modules=())
    before = state(runner.model, '')
    runner.train()
    assert not any(same(before, state(runner.model, '')))
    assert 'backbone.1' in runner.model.training_parts


def test_dots_lead_into_modules(tmp_path):
    runner = make_runner(tmp_path, 1, modules=('backbone', 'head.0.bias'))
    with pytest.raises(UserError, match="no module 'head.0.bias'; it has .*backbone, head"):
        runner.train()
    hook = FreezeModulesHook(['head.1'])
    hook.before_run(runner)
    hook.before_train_iter(runner, 0)
    assert not runner.model.head[1].training and runner.model.head[0].training
    assert not runner.model.head[1].weight.requires_grad


def test_distributed_training_waits_for_no_frozen_gradient(launch, tmp_path):
    launch(__file__, tmp_path)
    assert (tmp_path / 'epoch_2.pth').exists()


if __name__ == '__main__':
    distributed.init_process_group('gloo')
    wrapper = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    cfg = Config(dict(model_wrapper_cfg=wrapper))
    make_runner(sys.argv[1], 2, launcher='pytorch', cfg=cfg).train()
    leave_process_group()
