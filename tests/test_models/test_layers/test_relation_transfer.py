import numpy as np
import torch
from mmdet.registry import MODELS
from torch import nn

from mmlesion.models import RelationTransferModule


def softmax(scores):
    exp = np.exp(scores)
    return exp / exp.sum(1, keepdims=True)


def test_the_written_formula():
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    transfer, classifier = RelationTransferModule(5, 3).double(), nn.Linear(5, 2).double()
    score = rng.normal(size=(4, 2))
    relations = [softmax(rng.normal(size=(3, 3))), np.empty((0, 0)), np.ones((1, 1))]
    embeddings = np.c_[classifier.weight.detach().numpy(), classifier.bias.detach().numpy()]
    assert embeddings.shape == (2, 6)  # M is 2 x (P + 1)
    whole = np.zeros((4, 4))  # E of the batch: no edges between images
    whole[:3, :3], whole[3:, 3:] = relations[0], relations[2]
    expected = whole @ softmax(score) @ embeddings @ transfer.transform.weight.detach().numpy().T
    out = transfer([torch.tensor(e) for e in relations], torch.tensor(score), classifier)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-12)


def test_embeddings_are_read_only():
    transfer, classifier = RelationTransferModule(5), nn.Linear(5, 2)
    score = torch.randn(3, 2, requires_grad=True)
    relation = torch.rand(3, 3, requires_grad=True)
    out = transfer([relation], score, classifier)
    assert out.shape == (3, 128)
    out.square().sum().backward()
    assert classifier.weight.grad is None and classifier.bias.grad is None
    for tensor in (score, relation, transfer.transform.weight):
        assert tensor.grad.abs().sum() > 0


def test_size_from_a_config():
    transfer = MODELS.build(dict(type='RelationTransferModule', in_channels=512))
    assert sum(parameter.numel() for parameter in transfer.parameters()) == 513 * 128


def test_initialization_from_a_config():
    init_cfg = dict(type='Constant', layer='Linear', val=2)
    transfer = MODELS.build(dict(type='RelationTransferModule', in_channels=5, init_cfg=init_cfg))
    transfer.init_weights()
    assert transfer.transform.weight.eq(2).all()
