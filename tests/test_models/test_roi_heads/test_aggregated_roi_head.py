import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmlesion.models import AggregatedRoIHead

CHANNELS = 4


def make_head(score='mean', add_gt=True, magnification=None):
    assigner = dict(
        type='MaxIoUAssigner',
        pos_iou_thr=0.5,
        neg_iou_thr=0.02,
        match_low_quality=False,
        iou_calculator=dict(type='SphereOverlaps3D'),
    )
    sampler = dict(type='RandomSampler', num=8, pos_fraction=0.5, add_gt_as_proposals=add_gt)
    return MODELS.build(
        dict(
            type='AggregatedRoIHead',
            bbox_roi_extractor=dict(
                type='DiameterAlignedExtractor', out_channels=CHANNELS, magnification=magnification
            ),
            bbox_head=dict(type='AggregatedBBoxHead', fc_out_channels=16),
            score=score,
            train_cfg=ConfigDict(assigner=assigner, sampler=sampler),
        )
    )


def pyramid(num=2):
    torch.manual_seed(0)
    return tuple(torch.randn(num, CHANNELS, *[64 // s] * 3) for s in (4, 8, 16))


def proposals(*rows):
    """From (z, y, x, diameter, level, score) of each."""
    rows = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return InstanceData(
        bboxes=rows[:, :4],
        level=rows[:, 4].long(),
        scores=rows[:, 5],
        labels=torch.zeros(len(rows), dtype=torch.long),
    )


def truth(*spheres):
    return InstanceData(
        bboxes=torch.tensor(spheres, dtype=torch.float32).reshape(-1, 4),
        labels=torch.zeros(len(spheres), dtype=torch.long),
    )


def samples(*truths):
    return [DetDataSample(gt_instances=gt, metainfo=dict(img_shape=(64,) * 3)) for gt in truths]


LESION = [20, 20, 20, 10]
FOUND = [20, 20, 21, 10, 2, 0.9]  # IoU 0.82 with it
NEAR = [20, 20, 26, 10, 1, 0.8]  # IoU 0.25
FAR = [50, 50, 50, 5, 0, 0.7]


def test_levels_of_diameters():
    diameters = torch.tensor([1.0, 4, 6.5, 7.5, 12, 13.5, 14.5, 30, 100])
    assert make_head().reference_levels(diameters).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(
    'add_gt, expected',
    [
        (True, {(20, 10, 1, 0), (21, 10, 2, 0), (50, 5, 0, 1)}),
        (False, {(21, 10, 2, 0), (50, 5, 0, 1)}),
    ],
)
def test_sampled_regions_keep_their_level(add_gt, expected):
    head = make_head(add_gt=add_gt)
    regions, labels = head._sample(proposals(NEAR, FAR, FOUND), truth(LESION), None)
    got = {(*region[[2, 3, 4]].tolist(), label) for region, label in zip(regions, labels.tolist())}
    # x, diameter, level, label; what is neither positive nor negative has no part
    assert got == expected


def test_loss_is_that_of_the_sampled_regions():
    head = make_head()
    found = [proposals(NEAR, FAR, FOUND), proposals(FAR)]
    loss = head.loss(pyramid(), found, samples(truth(LESION), truth()))['loss_cls']
    rows = [[0, *LESION, 1], [0, *FOUND[:5]], [0, *FAR[:5]], [1, *FAR[:5]]]
    features = head.bbox_roi_extractor(pyramid(), torch.tensor(rows, dtype=torch.float32))
    expected = head.bbox_head.loss(head.bbox_head(features)[0], torch.tensor([0, 0, 1, 1]))
    torch.testing.assert_close(loss, expected)


def test_without_regions_every_weight_has_a_gradient():
    head = make_head(magnification=dict(type='LocalMagnification'))
    loss = head.loss(pyramid(1), [proposals()], samples(truth()))['loss_cls']
    loss.backward()
    assert loss == 0 and all((p.grad == 0).all() for p in head.parameters())
    assert all(value.isfinite().all() for value in head.state_dict().values())


@pytest.mark.parametrize('score', ['mean', 'rpn', 'fprn'])
@torch.no_grad()
def test_scores(score):
    head = make_head(score).eval()
    found = [proposals(NEAR, FAR, FOUND), proposals()]
    first, second = head.predict(pyramid(), found, samples(truth(), truth()))
    assert len(second) == 0 and len(first) == 3
    expected = dict(
        mean=(first.rpn_scores + first.fprn_scores) / 2,
        rpn=first.rpn_scores,
        fprn=first.fprn_scores,
    )
    assert torch.equal(first.scores, expected[score]) and first.scores.diff().le(0).all()
    rows = zip(first.bboxes[:, 2].tolist(), first.rpn_scores.tolist(), first.level.tolist())
    assert {x: level for x, _, level in rows} == {21: 2, 26: 1, 50: 0}
    rois = torch.cat([torch.zeros(3, 1), first.bboxes, first.level[:, None].float()], 1)
    logits = head.bbox_head(head.bbox_roi_extractor(pyramid(), rois))[0]
    torch.testing.assert_close(first.fprn_scores, logits.squeeze(1).sigmoid())


@torch.no_grad()
def test_nothing_proposed():
    (none,) = make_head().predict(pyramid(1), [proposals()], samples(truth()))
    assert len(none) == 0 and none.scores.shape == none.fprn_scores.shape == (0,)


def test_bad_score():
    with pytest.raises(ValueError, match="not 'median'"):
        AggregatedRoIHead({}, {}, score='median')
