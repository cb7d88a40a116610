import pytest
import torch
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmlesion.engine import BranchScheduleHook
from mmlesion.utils import UserError


class TwoBranches(BaseModel):
    """A model that notes its branches in each iteration, and in validation if the FPRN detects."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.branches, self.fprn_detects = 'joint', True
        self.trained, self.validated = [], []

    def forward(self, x, mode='tensor'):
        if mode == 'predict':
            self.validated.append(self.fprn_detects)
            return [dict()]
        self.trained.append(self.branches)
        self.fprn_detects = self.branches != 'rpn' or self.fprn_detects
        return dict(loss=self.layer(torch.stack(x)).square().mean())


def make_runner(work_dir, max_epochs, model=None, resume=False, **options):
    loader = dict(
        batch_size=2,
        dataset=[dict(x=torch.ones(1))] * 6,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    return Runner(
        model or TwoBranches(),
        str(work_dir),
        train_dataloader=loader,
        val_dataloader=dict(loader, batch_size=6),
        val_evaluator=[],
        val_cfg=dict(),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs, val_interval=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        custom_hooks=[BranchScheduleHook(**options)],
        experiment_name=f'{work_dir.name}-{max_epochs}',
        resume=resume,
    )


def train(*args, **options):
    runner = make_runner(*args, **options)
    runner.train()
    return runner.model.trained, runner.model.validated


@pytest.mark.parametrize(
    'options, trained, validated',
    [
        (dict(), ['joint'] * 9, [True] * 3),
        (dict(rpn_epochs=1), ['rpn'] * 3 + ['joint'] * 6, [False, True, True]),
        (
            dict(rpn_epochs=1, alternate=1),
            ['rpn'] * 3 + ['rpn', 'fprn'] * 3,
            [False, True, True],
        ),
        (
            dict(alternate=2),
            ['fprn', 'fprn', 'rpn', 'rpn', 'fprn', 'fprn', 'rpn', 'rpn', 'fprn'],
            [True] * 3,
        ),
    ],
)
def test_schedules(tmp_path, options, trained, validated):
    assert train(tmp_path, 3, **options) == (trained, validated)


def test_a_resumed_run_goes_on_as_it_was(tmp_path):
    options = dict(rpn_epochs=1, alternate=2)
    whole = train(tmp_path / 'whole', 4, **options)[0]
    first = train(tmp_path / 'broken', 2, **options)[0]
    rest = train(tmp_path / 'broken', 4, resume=True, **options)[0]
    assert first + rest == whole


@pytest.mark.parametrize('options', [dict(rpn_epochs=-1), dict(alternate=0)])
def test_bad_options(options):
    with pytest.raises(UserError, match='rpn_epochs must be at least 0'):
        BranchScheduleHook(**options)


def test_a_model_without_branches(tmp_path):
    class Plain(TwoBranches):
        def __init__(self):
            super().__init__()
            del self.branches

    with pytest.raises(UserError, match='Plain has no branches'):
        make_runner(tmp_path, 1, model=Plain()).train()
