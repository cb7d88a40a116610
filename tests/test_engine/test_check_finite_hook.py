from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmlesion.engine import CheckFiniteHook
from mmlesion.utils import UserError

RUNTIME = Path(__file__).parents[2] / 'configs' / '_base_' / 'default_runtime.py'


class LastHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x):
        return [self.weight * x]


class SmallModel(BaseModel):
    """A head whose scores have to pass a threshold, as NaN does not."""

    def __init__(self, spoil=None):
        super().__init__()
        self.head = LastHead()
        self.spoil = spoil
        self.batches = 0

    def forward(self, x, mode='tensor'):
        (scores,) = self.head(torch.stack(x))
        if mode == 'predict':
            return [scores[scores > 0.5]]
        self.batches += 1
        return dict(loss=scores.mean() * (float('nan') if self.batches == self.spoil else 1))


class SpoiledLastStep(Hook):
    """Weights that are NaN after the last step of an epoch, of which no loss tells."""

    def after_train_epoch(self, runner):
        nn.init.constant_(runner.model.head.weight, float('nan'))


class Nothing(BaseMetric):
    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        return {}


def make_runner(work_dir, lr=0.1, spoil=None):
    loader = dict(
        batch_size=2,
        dataset=[dict(x=torch.ones(3)) for _ in range(8)],
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    return Runner(
        SmallModel(spoil),
        str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=lr)),
        test_dataloader=loader,
        test_evaluator=Nothing(),
        test_cfg=dict(),
        custom_hooks=[CheckFiniteHook()],
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', interval=1)),
        experiment_name=str(work_dir),
    )


def test_the_default_runtime_has_it():
    cfg = Config.fromfile(RUNTIME)
    assert 'CheckFiniteHook' in [hook['type'] for hook in cfg.custom_hooks]
    assert CheckFiniteHook().interval == 1


@pytest.mark.parametrize(
    'lr, spoil, message',
    [
        (0.1, 2, 'diverged by iteration 2: its loss'),
        (float('nan'), None, 'diverged by iteration 2: its loss'),
    ],
)
def test_a_training_that_diverges_ends_and_saves_nothing(tmp_path, lr, spoil, message):
    with pytest.raises(UserError, match=message):
        make_runner(tmp_path, lr, spoil).train()
    assert not list(tmp_path.glob('*.pth'))


def test_weights_are_looked_at_before_they_are_saved(tmp_path):
    runner = make_runner(tmp_path)
    runner.register_hook(SpoiledLastStep(), priority='VERY_HIGH')
    with pytest.raises(UserError, match='head.weight is not finite, and no checkpoint'):
        runner.train()
    assert not list(tmp_path.glob('*.pth'))


def test_scores_are_looked_at_in_tests_alone(tmp_path):
    runner = make_runner(tmp_path)
    runner.test()
    nn.init.constant_(runner.model.head.weight, float('nan'))
    with pytest.raises(UserError, match='LastHead computes values that are no finite numbers'):
        runner.test()
