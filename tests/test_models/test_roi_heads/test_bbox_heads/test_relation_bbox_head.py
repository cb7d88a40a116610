from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

from mmlesion.models.layers import DEFAULT_GENOTYPES, RegionGraph

ALB = dict(type='ALBEncoder', channels=4)
NO_RELATIONS = dict(ALB, genotypes=dict(DEFAULT_GENOTYPES, alb=DEFAULT_GENOTYPES['reduction']))
FC = dict(type='FCEncoder')
TRANSFER = dict(type='RelationTransferModule', out_channels=16)


def make_head(encoder=ALB, relation_transfer=TRANSFER, num_classes=1, **kwargs):
    torch.manual_seed(0)
    cfg = dict(
        type='RelationBBoxHead',
        encoder=encoder,
        relation_transfer=relation_transfer,
        in_channels=6,
        fc_out_channels=32,
        num_classes=num_classes,
    )
    head = MODELS.build(dict(cfg, **kwargs))
    head.init_weights()
    return head


@pytest.mark.parametrize('num_classes', [1, 8])
@pytest.mark.parametrize('encoder', [ALB, NO_RELATIONS, FC])
def test_predictions_with_transfer(encoder, num_classes):
    head = make_head(encoder, num_classes=num_classes).eval()
    x, num_regions = torch.randn(5, 6, 7, 7), [2, 3]
    cls_score, bbox_pred, binary_score, relations = head(x, num_regions)
    assert cls_score.shape == (5, num_classes + 1)
    assert bbox_pred.shape == (5, 4 * num_classes)
    assert binary_score.shape == (5, 2)
    assert [relation.shape for relation in relations] == [(2, 2), (3, 3)]
    features, own = head.encoder(x, num_regions)
    assert (own is None) == (encoder is not ALB)
    if own is None:
        relations = head.graph(features, num_regions)
    else:
        assert head.graph is None
    transferred = head.relation_transfer(relations, head.fc_binary(features), head.fc_binary)
    both = torch.cat([features, transferred], 1)
    torch.testing.assert_close(cls_score, head.fc_cls(both))
    torch.testing.assert_close(bbox_pred, head.fc_reg(both))


@pytest.mark.parametrize('encoder', [ALB, FC])
def test_temperature_of_every_graph(encoder):
    for options, expected in (({}, None), (dict(relation_temperature=20.0), 20.0)):
        modules = make_head(encoder, **options).modules()
        graphs = [module for module in modules if isinstance(module, RegionGraph)]
        assert [graph.temperature for graph in graphs] == [expected]


def test_predictions_without_transfer():
    head = make_head(relation_transfer=None, reg_class_agnostic=True, num_classes=8).eval()
    x = torch.randn(5, 6, 7, 7)
    cls_score, bbox_pred, binary_score, relations = head(x, [5])
    features, _ = head.encoder(x, [5])
    torch.testing.assert_close(cls_score, head.fc_cls(features))
    assert bbox_pred.shape == (5, 4)
    assert binary_score is None
    assert relations[0].shape == (5, 5)
    assert not hasattr(head, 'fc_binary')
    assert make_head(FC, None)(x, [5])[3] is None


def test_options_of_an_inherited_config():
    head = make_head(FC, in_channels=3, fc_out_channels=20, roi_feat_size=5, with_avg_pool=True)
    assert head.encoder.layers[1].weight.shape == (20, 3 * 25)
    assert head.fc_cls.in_features == 20 + 16
    head = make_head(dict(FC, fc_out_channels=10), in_channels=3)
    assert head.encoder.layers[1].weight.shape == (10, 3 * 49)
    assert make_head(ALB, in_channels=3).encoder.conv.conv.in_channels == 3
    with pytest.raises(TypeError, match='num_clases'):
        make_head(num_clases=8)


def test_initialization():
    head = make_head(num_classes=8, encoder=dict(ALB, channels=32))
    for layer, std in ((head.fc_cls, 0.01), (head.fc_reg, 0.001), (head.fc_binary, 0.01)):
        np.testing.assert_allclose(layer.weight.std().item(), std, rtol=0.1)


def make_sampling(labels, num_negatives):
    """Regions at ground truth, with these labels, and regions of background."""
    boxes = torch.tensor([[8.0 * i, 8, 8 * i + 16, 24] for i in range(len(labels))]).view(-1, 4)
    negatives = torch.tensor([[40.0, 40, 50, 50 + i] for i in range(num_negatives)]).view(-1, 4)
    labels = torch.tensor(labels, dtype=torch.long)
    return SimpleNamespace(
        pos_priors=boxes, pos_gt_bboxes=boxes, pos_gt_labels=labels, neg_priors=negatives
    )


def losses_of(head, scores, samplings):
    size = len(scores)
    return head.loss_and_target(
        torch.zeros(size, head.num_classes + 1),
        torch.zeros(size, 4 * head.num_classes),
        torch.zeros(size, 5),
        samplings,
        ConfigDict(pos_weight=-1),
        binary_score=scores,
    )['loss_bbox']


@pytest.mark.parametrize('num_classes, types', [(1, [0, 0]), (8, [5, 0])])
def test_binary_loss(num_classes, types):
    head = make_head(FC, num_classes=num_classes)
    scores = torch.tensor([[2.0, -1], [0, 1], [-1, 0.5], [3, 3]])
    # of the first image a lesion and a region of background, of the second likewise
    samplings = [make_sampling(types[:1], 1), make_sampling(types[1:], 1)]
    losses = losses_of(head, scores, samplings)
    targets = [0, 1, 0, 1]  # whatever a lesion's type
    exp = np.exp(scores.numpy())
    expected = -np.log(exp[range(4), targets] / exp.sum(1)).mean()
    np.testing.assert_allclose(losses['loss_binary'].item(), expected, rtol=1e-6)
    np.testing.assert_allclose(losses['loss_cls'].item(), np.log(num_classes + 1), rtol=1e-6)
    weighted = make_head(FC, loss_binary=dict(type='CrossEntropyLoss', loss_weight=0.5))
    samplings = [make_sampling([0], 1), make_sampling([0], 1)]
    half = losses_of(weighted, scores, samplings)['loss_binary']
    np.testing.assert_allclose(half.item(), expected / 2, rtol=1e-6)


def test_losses_without_a_region():
    losses = losses_of(make_head(), torch.zeros(0, 2), [make_sampling([], 0)] * 2)
    assert losses['loss_binary'].item() == 0
    assert losses['loss_bbox'].item() == 0
