import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmlesion.models import SphereRPNHead

SIDE = 32
DIAMETERS = [[4, 6], [8, 12], [16, 24]]


def make_head(**options):
    train_cfg = ConfigDict(
        assigner=dict(
            type='MaxIoUAssigner',
            pos_iou_thr=0.5,
            neg_iou_thr=0.02,
            min_pos_iou=0.02,
            ignore_iof_thr=0.5,
            iou_calculator=dict(type='SphereOverlaps3D'),
        ),
        allowed_border=-1,
        pos_weight=-1,
    )
    test_cfg = ConfigDict(nms_pre=50, score_thr=0.3, max_per_img=20, nms=dict(iou_threshold=0.1))
    cfg = dict(type='SphereRPNHead', in_channels=8, growth_rate=4, train_cfg=train_cfg)
    return MODELS.build(dict(cfg, test_cfg=test_cfg, **options))


def levels(num=1, channels=8):
    torch.manual_seed(0)
    return tuple(torch.randn(num, channels, *[SIDE // s] * 3) for s in (4, 8, 16))


def metas(num=1):
    return [dict(img_shape=(SIDE,) * 3, pad_shape=(SIDE,) * 3)] * num


def empty_maps(num=1, score=-10.0):
    """Scores and deltas of each level that propose nothing."""
    shapes = [[SIDE // s] * 3 for s in (4, 8, 16)]
    scores = [torch.full((num, 2, *shape), score) for shape in shapes]
    return scores, [torch.zeros(num, 8, *shape) for shape in shapes]


def truth(*spheres):
    return InstanceData(
        bboxes=torch.tensor(spheres).reshape(-1, 4),
        labels=torch.zeros(len(spheres), dtype=torch.long),
    )


@pytest.mark.parametrize('shared', [False, True])
def test_shapes_and_heads(shared):
    head = make_head(shared=shared)
    scores, deltas = head(levels(2))
    assert [tuple(s.shape) for s in scores] == [(2, 2, n, n, n) for n in (8, 4, 2)]
    assert [tuple(d.shape) for d in deltas] == [(2, 8, n, n, n) for n in (8, 4, 2)]
    assert len(head.detectors) == (1 if shared else 3)


def test_levels_have_weights_of_their_own():
    head = make_head().eval()
    x = (torch.randn(1, 8, 2, 2, 2),) * 3
    first, second, third = head(x)[0]
    assert not torch.equal(first, second) and not torch.equal(second, third)
    shared = make_head(shared=True).eval()
    first, second, third = shared(x)[0]
    assert torch.equal(first, second) and torch.equal(second, third)


def test_levels_with_different_anchors():
    generator = dict(type='SphereAnchorGenerator', diameters=[[4], [8, 12], [16, 20, 24]])
    scores, deltas = make_head(anchor_generator=generator)(levels())
    assert [s.shape[1] for s in scores] == [1, 2, 3] and [d.shape[1] for d in deltas] == [4, 8, 12]
    with pytest.raises(ValueError, match=r'\[1, 2, 3\] anchors cannot share'):
        make_head(anchor_generator=generator, shared=True)


@pytest.mark.parametrize('level, stride', enumerate([4, 8, 16]))
@pytest.mark.parametrize('anchor', [0, 1])
def test_a_proposal_is_where_its_score_is(level, stride, anchor):
    scores, deltas = empty_maps(2)
    scores[level][1, anchor, 1, 0, 1] = 2.0
    none, (found,) = make_head().predict_by_feat(scores, deltas, batch_img_metas=metas(2))
    assert len(none) == 0
    expected = [1.5 * stride, 0.5 * stride, 1.5 * stride, DIAMETERS[level][anchor]]
    assert found.bboxes[0].tolist() == expected
    assert found.scores.tolist() == [pytest.approx(1 / (1 + torch.tensor(-2.0).exp().item()))]
    assert found.level.tolist() == [level] and found.labels.tolist() == [0]


def test_deltas_belong_to_their_anchor():
    head = make_head()
    scores, deltas = empty_maps()
    scores[1][0, 1, 2, 3, 1] = 1.0
    target = torch.tensor([[21.0, 30, 11, 10]])
    anchor = torch.tensor([[20.0, 28, 12, 12]])
    deltas[1][0, 4:, 2, 3, 1] = head.bbox_coder.encode(anchor, target)[0]
    (found,) = head.predict_by_feat(scores, deltas)
    torch.testing.assert_close(found.bboxes, target)


def test_nms_works_across_levels_and_within_a_volume():
    head = make_head()
    scores, deltas = empty_maps(2)
    # the same sphere of 9 voxels from two levels, of the first volume, and from one of the second
    target = torch.tensor([[13.0, 13, 13, 9]])
    scores[0][0, 1, 3, 3, 3], scores[1][:, 0, 1, 1, 1] = 1.0, 2.0
    deltas[0][0, 4:, 3, 3, 3] = head.bbox_coder.encode(torch.tensor([[14.0, 14, 14, 6]]), target)[0]
    deltas[1][:, :4, 1, 1, 1] = head.bbox_coder.encode(torch.tensor([[12.0, 12, 12, 8]]), target)
    first, second = head.predict_by_feat(scores, deltas)
    assert first.level.tolist() == second.level.tolist() == [1]
    separate = ConfigDict(head.test_cfg, nms=dict(iou_threshold=0.99999))
    first, second = head.predict_by_feat(scores, deltas, cfg=separate)
    assert len(second) == 1 and len(first) in (1, 2)  # equal but for rounding


def test_limits():
    head = make_head()
    scores, deltas = empty_maps(2, score=0.0)
    for level in scores:
        level.copy_(torch.rand_like(level))
    cfg = ConfigDict(nms_pre=7, score_thr=0.6, max_per_img=4, nms=dict(iou_threshold=1.0))
    for found in head.predict_by_feat(scores, deltas, cfg=cfg):
        assert len(found) == 4 and found.scores.diff().le(0).all() and found.scores.min() > 0.6
    cfg.max_per_img = 1000
    first, second = head.predict_by_feat(scores, deltas, cfg=cfg)
    best = [level[0].sigmoid().flatten().sort(descending=True).values[:7] for level in scores]
    expected = torch.cat(best).sort(descending=True).values
    torch.testing.assert_close(first.scores, expected[expected > 0.6])


def test_a_batch_is_its_volumes():
    head = make_head().eval()
    head.test_cfg.score_thr = 0.0
    both = head.predict(levels(2), [DetDataSample(metainfo=meta) for meta in metas(2)])
    for i, one in enumerate(both):
        (alone,) = head.predict(
            tuple(level[i : i + 1] for level in levels(2)), [DetDataSample(metainfo=metas()[0])]
        )
        torch.testing.assert_close(one.bboxes, alone.bboxes, rtol=1e-4, atol=1e-4)
        assert torch.equal(one.level, alone.level)


def test_losses_by_hand():
    """One anchor is the lesion itself; the rest are background or ignored."""
    head = make_head(loss_bbox=dict(type='SmoothL1Loss', beta=1.0))
    scores, deltas = empty_maps(score=-20.0)
    lesion = truth([12.0, 12, 20, 8])  # an anchor of the second level, voxel (1, 1, 2)
    losses = head.loss_by_feat(scores, deltas, [lesion], metas())
    # -log p of the one positive; the negatives' loss is of the order of p^6
    assert losses['loss_rpn_cls'].item() == pytest.approx(20.0)
    assert losses['loss_rpn_bbox'].item() == 0
    scores[1][0, 0, 1, 1, 2] = 0.0
    deltas[1][0, :4, 1, 1, 2] = torch.tensor([0.5, 0, 0, 2.0])
    losses = head.loss_by_feat(scores, deltas, [lesion], metas())
    assert losses['loss_rpn_cls'].item() == pytest.approx(0.6931472)
    assert losses['loss_rpn_bbox'].item() == pytest.approx(0.5 * 0.5**2 + 1.5)


def test_ignored_and_unknown_types():
    head = make_head()
    scores, deltas = empty_maps(score=-20.0)
    lesion = truth([12.0, 12, 20, 8])
    lesion.labels += 5
    losses = head.loss_by_feat(scores, deltas, [lesion], metas())
    assert losses['loss_rpn_cls'].item() == pytest.approx(20.0)
    # a false positive costs something, unless the lesion that it finds is to be ignored
    scores[1][0, 0, 1, 1, 2] = 5.0
    other = truth([12.0, 12, 4, 8])
    losses = head.loss_by_feat(scores, deltas, [other], metas())
    assert losses['loss_rpn_cls'] > 20.01
    ignored = [InstanceData(bboxes=lesion.bboxes)]
    losses = head.loss_by_feat(scores, deltas, [other], metas(), ignored)
    assert losses['loss_rpn_cls'].item() == pytest.approx(20.0)


def test_a_lesion_between_voxels_has_a_positive():
    head = make_head()
    scores, deltas = empty_maps(score=-20.0)
    losses = head.loss_by_feat(scores, deltas, [truth([8.0, 8, 8, 4])], metas())
    assert losses['loss_rpn_cls'].item() == pytest.approx(20.0)


@pytest.mark.parametrize('spheres', [[[10.0, 12, 20, 8]], []])
def test_gradients_reach_every_weight(spheres):
    head = make_head()
    head.init_weights()
    sample = DetDataSample(gt_instances=truth(*spheres), metainfo=metas()[0])
    losses = head.loss(levels(), [sample])
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    assert head.detectors[1][1].conv.weight.grad.abs().sum() > 0


def test_losses_of_mmdet_take_its_place():
    head = make_head(loss_cls=dict(type='FocalLoss', use_sigmoid=True))
    sample = DetDataSample(gt_instances=truth([12.0, 12, 20, 8]), metainfo=metas()[0])
    assert head.loss(levels(), [sample])['loss_rpn_cls'] > 0


def test_it_predicts_little_at_first():
    head = make_head()
    head.init_weights()
    assert isinstance(head, SphereRPNHead)
    assert all(predict.conv.weight.std() < 0.02 for _, predict in head.detectors)
