import math

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn

from mmlesion.models import FocusShiftLoss


@pytest.fixture
def hub():
    """The message hub of a run, which is not left to other tests."""
    hub = MessageHub.get_instance('test_focus_shift_loss')
    yield hub
    MessageHub._instance_dict.pop('test_focus_shift_loss')


def logit(p):
    return math.log(p / (1 - p))


def equation_3(negatives, positives, t=1.0, alpha=0.8, gamma=5.0):
    """The equation, sample after sample."""
    true_negatives = max(sum(p < 0.5 for p in negatives), math.e)
    focal = sum(-alpha * p**gamma * math.log(1 - p) for p in negatives)
    entropy = sum(-math.log(p) for p in positives) / max(len(positives), 1)
    return t * math.log(true_negatives) / true_negatives * focal + entropy


def loss_of(loss, negatives, positives, ignored=()):
    probabilities = [*negatives, *positives, *ignored]
    pred = torch.tensor([logit(p) for p in probabilities])[:, None]
    target = torch.tensor([1] * len(negatives) + [0] * len(positives) + [1] * len(ignored))
    weight = torch.ones(len(probabilities))
    weight[len(probabilities) - len(ignored) :] = 0
    return loss(pred, target, weight)


NEGATIVES = [0.1, 0.2, 0.3, 0.05, 0.45, 0.7, 0.9]
POSITIVES = [0.9, 0.4, 0.02]


@pytest.mark.parametrize(
    'negatives, positives',
    [(NEGATIVES, POSITIVES), (NEGATIVES, []), ([], POSITIVES), ([0.9, 0.8], [0.5]), ([], [])],
)
def test_equation_3(hub, negatives, positives):
    value = loss_of(FocusShiftLoss(), negatives, positives).item()
    assert value == pytest.approx(equation_3(negatives, positives), rel=1e-5)


def test_one_negative_by_hand(hub):
    # p = 0.5 counts as no true negative: N_TN is e, and log(e) / e * 0.8 * 0.5^5 * log 2
    value = loss_of(FocusShiftLoss(), [0.5], [])
    assert value.item() == pytest.approx(0.8 / 32 * math.log(2) / math.e)


def test_options(hub):
    loss = FocusShiftLoss(alpha=0.25, gamma=2, t_init=3, loss_weight=2)
    expected = 2 * equation_3(NEGATIVES, POSITIVES, t=3, alpha=0.25, gamma=2)
    assert loss_of(loss, NEGATIVES, POSITIVES).item() == pytest.approx(expected, rel=1e-5)


def test_ignored_samples_have_no_part(hub):
    plain = loss_of(FocusShiftLoss(), NEGATIVES, POSITIVES)
    assert torch.equal(loss_of(FocusShiftLoss(), NEGATIVES, POSITIVES, [0.3, 0.99]), plain)


def test_t_grows_with_the_share_of_training(hub):
    loss = FocusShiftLoss(t_init=1, t_final=11)
    assert loss.focus_shift == 1  # outside a run
    MessageHub._instance_dict.move_to_end('test_focus_shift_loss')
    for max_iters in (1000, 4000):  # four GPUs, and one
        hub.update_info('max_iters', max_iters)
        hub.update_info('iter', max_iters // 4)
        assert loss.focus_shift == 3.5
    expected = equation_3(NEGATIVES, POSITIVES, t=3.5)
    assert loss_of(loss, NEGATIVES, POSITIVES).item() == pytest.approx(expected, rel=1e-5)


def test_alpha_and_t_are_one_number(hub):
    quarter = FocusShiftLoss(alpha=0.2, t_init=8)
    expected = loss_of(FocusShiftLoss(alpha=0.8, t_init=2), NEGATIVES, POSITIVES)
    torch.testing.assert_close(loss_of(quarter, NEGATIVES, POSITIVES), expected)


def test_certain_scores_keep_finite_gradients(hub):
    pred = torch.tensor([[100.0], [-100.0], [100.0], [-100.0]], requires_grad=True)
    FocusShiftLoss()(pred, torch.tensor([0, 0, 1, 1]), torch.ones(4)).backward()
    assert pred.grad.isfinite().all() and pred.grad[1] == -0.5 and pred.grad[2] > 0


class Recorder(BaseModel):
    """A model that notes T at each iteration."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.loss = FocusShiftLoss(t_final=4)
        self.seen = []

    def forward(self, x, mode='tensor'):
        self.seen.append(self.loss.focus_shift)
        return dict(loss=self.layer(torch.stack(x)).square().mean())


def train(work_dir, max_epochs, batch_size=2, **options):
    loader = dict(
        batch_size=batch_size,
        dataset=[dict(x=torch.ones(1))] * 6,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='pseudo_collate'),
    )
    runner = Runner(
        Recorder(),
        str(work_dir),
        train_dataloader=loader,
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1)),
        experiment_name=f'{work_dir.name}-{max_epochs}',
        **options,
    )
    runner.train()
    return runner.model.seen


class Interruption(Hook):
    """Ends training after an epoch, as a killed process does."""

    priority = 'LOWEST'

    def after_train_epoch(self, runner):
        raise KeyboardInterrupt


def test_a_resumed_run_goes_on_where_it_was(tmp_path):
    whole = [1, 1.5, 2, 2.5, 3, 3.5]
    assert train(tmp_path / 'whole', 2) == whole
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / 'broken', 2, custom_hooks=[Interruption()])
    assert train(tmp_path / 'broken', 2, resume=True) == whole[3:]


def test_larger_batches_have_the_same_t(tmp_path):
    """Three times the batch, as of three GPUs: an iteration for three, at the same T."""
    assert train(tmp_path, 2, batch_size=6) == [1, 2.5]
