import math

import pytest
import torch

from mmlesion.models import AggregatedBBoxHead


def test_layers_of_table_1():
    head = AggregatedBBoxHead(768)
    assert head.fc[0].weight.shape == (256, 768) and head.fc_cls.weight.shape == (1, 256)
    score, deltas = head(torch.randn(5, 768))
    assert score.shape == (5, 1) and deltas is None


def test_loss_is_cross_entropy_of_lesions():
    scores = torch.tensor([0.0, 2.0, -1.0])[:, None]
    loss = AggregatedBBoxHead(768).loss(scores, torch.tensor([0, 0, 1]))
    expected = math.log(2) + math.log1p(math.exp(-2)) + math.log1p(math.exp(-1))
    assert loss.item() == pytest.approx(expected / 3)


def test_initial_weights():
    head = AggregatedBBoxHead(768)
    head.init_weights()
    assert head.fc_cls.weight.std().item() == pytest.approx(0.01, rel=0.2)
    assert head.fc[0].weight.abs().max() <= math.sqrt(6 / (256 + 768))
