import math

import pytest
import torch
from mmdet.registry import MODELS

from mmlesion.models import HardNegativeLoss


def loss_of(loss, negatives, positives, ignored=()):
    probabilities = torch.tensor([*negatives, *positives, *ignored])
    target = torch.tensor([1] * len(negatives) + [0] * len(positives) + [1] * len(ignored))
    weight = torch.ones(len(probabilities))
    weight[len(probabilities) - len(ignored) :] = 0
    return loss(probabilities.logit()[:, None], target, weight).item()


def test_by_hand():
    negatives, positives = [0.1, 0.6, 0.3, 0.5], [0.9, 0.4]
    hard = -(math.log(1 - 0.6) + math.log(1 - 0.5)) / 2
    found = -(math.log(0.9) + math.log(0.4)) / 2
    loss = HardNegativeLoss(num_hard=2)
    assert loss_of(loss, negatives, positives) == pytest.approx((hard + found) / 2)
    assert loss_of(loss, negatives, positives, ignored=[0.99]) == pytest.approx((hard + found) / 2)
    assert loss_of(loss, negatives, []) == pytest.approx(hard / 2)
    assert loss_of(loss, [], positives) == pytest.approx(found / 2)
    assert loss_of(loss, [], []) == 0


def test_hard_ones_are_of_those_that_are_drawn():
    """Of 1000 negatives 10 are drawn: the hardest of all is among them once in a hundred times."""
    torch.manual_seed(0)
    pred = torch.zeros(1000, 1)
    pred[500] = 10
    target, weight = torch.ones(1000), torch.ones(1000)
    loss = HardNegativeLoss(num_drawn=10, num_hard=1)
    values = torch.stack([loss(pred, target, weight) for _ in range(1000)])
    assert 2 <= (values > 4).sum() <= 25
    assert values.min().item() == pytest.approx(math.log(2) / 2)


def test_only_a_few_have_gradients():
    torch.manual_seed(0)
    pred = torch.randn(500, 1, requires_grad=True)
    target = torch.ones(500).long()
    target[:3] = 0
    loss = MODELS.build(dict(type='HardNegativeLoss', num_hard=4, loss_weight=2))
    loss(pred, target, torch.ones(500)).backward()
    assert pred.grad.count_nonzero() == 3 + 4
    hardest = pred.detach()[3:, 0].topk(4).indices + 3
    assert (pred.grad[hardest] > 0).all() and (pred.grad[:3] < 0).all()
