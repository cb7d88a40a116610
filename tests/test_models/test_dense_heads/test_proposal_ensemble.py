import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmlesion.models import AnchorFreeProposalHead, ProposalEnsemble
from mmlesion.utils import UserError

NAMES = ['deeplesion', 'luna16']
CFG = ConfigDict(
    nms_pre=100, max_per_img=3, nms=dict(type='nms', iou_threshold=0.5), min_bbox_size=0
)


def make_ensemble(datasets=NAMES, head='AnchorFreeProposalHead', **options):
    torch.manual_seed(0)
    head = dict(type=head, in_channels=3, feat_channels=4, **options)
    ensemble = ProposalEnsemble(datasets, head, test_cfg=CFG, train_cfg=ConfigDict())
    ensemble.init_weights()
    return ensemble


def sample(name):
    sample = DetDataSample(metainfo=dict(img_shape=(32, 32), dataset_name=name))
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[8.0, 8, 28, 28]]), labels=torch.zeros(1, dtype=torch.long)
    )
    return sample


def proposals(*rows):
    rows = torch.tensor(rows, dtype=torch.float32).reshape(-1, 5)
    labels = torch.zeros(len(rows), dtype=torch.long)
    return InstanceData(bboxes=rows[:, :4], scores=rows[:, 4], labels=labels)


def give(ensemble, **found):
    for name, rows in found.items():
        head = ensemble.heads[name]
        head.predict_by_feat = lambda *args, rows=rows, **kwargs: [proposals(*rows)]


def test_proposals_are_pooled_and_merged():
    ensemble = make_ensemble()
    give(
        ensemble,
        deeplesion=[(0, 0, 10, 10, 0.9), (20, 20, 30, 30, 0.3), (0, 20, 8, 30, 0.2)],
        luna16=[(0, 0, 10, 11, 0.8), (20, 20, 31, 30, 0.7), (20, 0, 30, 9, 0.1)],
    )
    (pooled,) = ensemble.predict((torch.zeros(1, 3, 8, 8),), [sample('luna16')])
    assert pooled.bboxes.tolist() == [[0, 0, 10, 10], [20, 20, 31, 30], [0, 20, 8, 30]]
    torch.testing.assert_close(pooled.scores, torch.tensor([0.9, 0.7, 0.2]))


def test_no_proposals_at_all():
    ensemble = make_ensemble()
    give(ensemble, deeplesion=[], luna16=[])
    (pooled,) = ensemble.predict((torch.zeros(1, 3, 8, 8),), [sample('luna16')])
    assert len(pooled) == 0


def test_one_dataset_is_its_network_alone():
    ensemble = make_ensemble(['lits'])
    x = (torch.randn(1, 3, 8, 8),)
    (pooled,) = ensemble.predict(x, [sample('lits')])
    (alone,) = ensemble.heads['lits'].predict(x, [sample('lits')])
    assert torch.equal(pooled.bboxes, alone.bboxes) and torch.equal(pooled.scores, alone.scores)


@pytest.mark.parametrize('name', NAMES)
def test_the_batchs_dataset_alone_is_trained_and_all_propose(name):
    ensemble = make_ensemble()
    x = (torch.randn(1, 3, 8, 8),)
    losses, (pooled,) = ensemble.loss_and_predict(x, [sample(name)], CFG)
    own = ensemble.heads[name].loss(x, [sample(name)])
    assert {key: loss.item() for key, loss in losses.items()} == {
        key: loss.item() for key, loss in own.items()
    }
    (expected,) = ensemble.predict(x, [sample(name)])
    torch.testing.assert_close(pooled.bboxes, expected.bboxes)
    sum(losses.values()).backward()
    for dataset, head in ensemble.heads.items():
        trained = [parameter.grad is not None for parameter in head.parameters()]
        assert all(trained) if dataset == name else not any(trained)


def test_every_network_has_weights_of_its_own_by_name():
    ensemble = make_ensemble()
    first, second = ensemble.heads.values()
    assert isinstance(first, AnchorFreeProposalHead)
    assert not torch.equal(first.size_conv.weight, second.size_conv.weight)
    assert 'heads.luna16.size_conv.weight' in ensemble.state_dict()


def test_mmdets_rpn_takes_the_place():
    anchors = dict(type='AnchorGenerator', scales=[2, 4], ratios=[1.0], strides=[4])
    ensemble = make_ensemble(head='RPNHead', anchor_generator=anchors)
    (pooled,) = ensemble.predict((torch.randn(1, 3, 8, 8),), [sample('luna16')])
    assert 0 < len(pooled) <= 3


def test_an_unknown_dataset_is_refused():
    with pytest.raises(UserError, match='from lits'):
        make_ensemble().loss_and_predict((torch.zeros(1, 3, 8, 8),), [sample('lits')], CFG)
