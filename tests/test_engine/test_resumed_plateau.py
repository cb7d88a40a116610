"""Runs with the plateau schedule that are broken anywhere end as the unbroken one."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmlesion.engine import EpochSeedHook
from mmlesion.utils import UserError

CONFIGS = Path(__file__).parents[2] / 'configs' / '_base_'
SCHEDULE = Config.fromfile(CONFIGS / 'schedules' / 'schedule_plateau.py')
CHECKPOINT = Config.fromfile(CONFIGS / 'default_runtime.py').default_hooks.checkpoint
# by epoch; the rate falls after the 4th and the 7th, and the 9th is the last
MEAN_APS = [0.1, 0.2, 0.2, 0.19, 0.21, 0.2, 0.1, 0.0, 0.15, 0.3, 0.3]
STOPPED = 9


class Kill(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Model(BaseModel):
    """A line, whose weights know how long they have been trained."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.register_buffer('steps', torch.zeros(()))

    def forward(self, x, mode='tensor'):
        if mode == 'predict':
            return [self.steps.item()]
        self.steps += 1
        return dict(loss=(self.layer(torch.rand(2, 1)) - torch.stack(x)).square().mean())


class Metric(BaseMetric):
    """The mAP of so many steps, two an epoch."""

    def __init__(self, mean_aps=MEAN_APS):
        super().__init__()
        self.mean_aps = mean_aps

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        mean_ap = self.mean_aps[int(results[0]) // 2 - 1]
        return {'froc/mAP': mean_ap, 'froc/mean': mean_ap}


class KillHook(Hook):
    """End the run when an event comes in an epoch, counted from 1."""

    def __init__(self, event, epoch, priority):
        self.event, self.epoch, self.priority = event, epoch, priority

    def __getattribute__(self, name):
        get = super().__getattribute__
        return get('end') if name == get('event') else get(name)

    def end(self, runner, **arguments):
        current = runner.epoch + (self.event != 'after_val_epoch' and 'val' not in self.event)
        if current == self.epoch:
            raise Kill


class Rates(Hook):
    """Note the learning rate of each epoch."""

    def __init__(self):
        self.rates = {}

    def before_train_epoch(self, runner):
        self.rates[runner.epoch + 1] = runner.optim_wrapper.get_lr()['lr'][0]


def make_runner(folder, hooks=(), mean_aps=MEAN_APS, resume=False, **train_cfg):
    loader = dict(
        batch_size=2,
        dataset=[dict(x=torch.ones(1))] * 4,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    torch.manual_seed(0)
    return Runner(
        Model(),
        str(folder),
        train_dataloader=loader,
        val_dataloader=dict(loader, batch_size=4),
        val_evaluator=[Metric(mean_aps)],
        val_cfg=dict(),
        train_cfg=dict(SCHEDULE.train_cfg.to_dict(), max_epochs=11, **train_cfg),
        optim_wrapper=SCHEDULE.optim_wrapper.to_dict(),
        param_scheduler=SCHEDULE.param_scheduler,
        default_hooks=dict(checkpoint=CHECKPOINT.to_dict()),
        custom_hooks=[EpochSeedHook(), SCHEDULE.early_stopping.to_dict(), *hooks],
        randomness=dict(seed=0),
        default_scope='mmdet',
        experiment_name='-'.join(folder.parts[-2:]) + str(resume),
        resume=resume,
        cfg=Config(dict(default_scope='mmdet')),
    )


def state(runner, folder):
    """What a run leaves behind."""
    (best,) = folder.glob('best_*.pth')
    (schedule,) = runner.param_schedulers
    return dict(
        epoch=runner.epoch,
        weights={key: value.tolist() for key, value in runner.model.state_dict().items()},
        optimizer=repr(runner.optim_wrapper.state_dict()),
        schedule={k: v for k, v in schedule.state_dict().items() if k != 'optimizer'},
        stopped=runner.train_loop.stop_training,
        best=best.name,
        best_score=runner.message_hub.get_info('best_score'),
        kept=sorted(path.name for path in folder.glob('epoch_*.pth')),
    )


@pytest.fixture(scope='module')
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp('unbroken')
    rates = Rates()
    runner = make_runner(folder, [rates])
    runner.train()
    return state(runner, folder), rates.rates


def test_the_unbroken_run_follows_the_schedule(unbroken):
    end, rates = unbroken
    exponents = [round(torch.tensor(rate).log10().item()) for rate in rates.values()]
    assert exponents == [-4, -4, -4, -4, -5, -5, -5, -6, -6]
    assert end['epoch'] == STOPPED and end['stopped']
    assert end['best'] == 'best_froc_mean_epoch_5.pth'


@pytest.mark.parametrize(
    'event, priority, epochs',
    [
        ('after_val_iter', 'NORMAL', range(1, STOPPED + 1)),
        ('after_train_epoch', 'LOWEST', (4, 9)),  # the epoch is saved, validation has not begun
        ('after_val_epoch', 'HIGHEST', (4, 9)),  # validated, but nothing is done with it
        ('after_val_epoch', 'LOWEST', (4, 7, 9)),  # saved again
        ('before_train_iter', 'NORMAL', (5, 9)),  # in the middle of an epoch
    ],
)
def test_resumed_from_each_epoch(unbroken, tmp_path, event, priority, epochs):
    for epoch in epochs:
        folder = tmp_path / str(epoch)
        rates = Rates()
        with pytest.raises(Kill):
            make_runner(folder, [rates, KillHook(event, epoch, priority)]).train()
        runner = make_runner(folder, [rates], resume=True)
        runner.train()
        assert (state(runner, folder), rates.rates) == unbroken, epoch


def test_a_run_that_was_stopped_stays_so(unbroken, tmp_path):
    make_runner(tmp_path).train()
    runner = make_runner(tmp_path, resume=True)
    runner.train()
    assert state(runner, tmp_path) == unbroken[0]


def test_what_validation_has_changed_is_in_the_checkpoint(tmp_path):
    """Every second epoch is validated, and then the last."""
    make_runner(tmp_path, val_interval=2, val_begin=4).train()
    saved = {path.stem: torch.load(path, weights_only=False) for path in tmp_path.glob('e*.pth')}
    hubs = {name: one['message_hub'] for name, one in saved.items()}
    validations = {
        name: len(hub['log_scalars']['val/froc/mAP'].data[0]) for name, hub in hubs.items()
    }
    assert validations == {'epoch_9': 3, 'epoch_10': 4, 'epoch_11': 5}
    assert not any('due_validation' in hub['runtime_info'] for hub in hubs.values())


def test_nothing_to_find_is_an_error_and_the_epoch_is_kept(tmp_path):
    with pytest.raises(UserError, match='froc/mAP is nan.*has no lesions'):
        make_runner(tmp_path, mean_aps=[float('nan')] * 11).train()
    runner = make_runner(tmp_path, resume=True)
    runner.train()
    assert runner.epoch == STOPPED
