import math

import pytest
import torch
from mmcv.ops import nms

from mmlesion.models.layers import batched_nms_3d, nms_3d
from mmlesion.structures.spheres import SphereBoxes, sphere_overlaps

THRESHOLDS = [0.0, 0.001, 0.01, 0.02, 0.1, 0.3, 0.5, 0.7, 0.9]


def draw(seed, n=300):
    """Spheres from crowded to sparse, of 3 to 60 voxels; every other time many scores are equal."""
    generator = torch.Generator().manual_seed(seed)
    spheres = torch.rand(n, 4, generator=generator) * [15, 60, 200][seed % 3]
    spheres[:, 3] = 3 * (3 * torch.rand(n, generator=generator)).exp()
    if seed % 2:
        return spheres, torch.randint(20, (n,), generator=generator) / 20
    return spheres, torch.rand(n, generator=generator)


def plain_nms(spheres, scores, iou_threshold, mode='cube'):
    """Go through the spheres one by one."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])  # stable
    overlaps = sphere_overlaps(spheres, spheres, shape=mode)
    kept = []
    for i in order:
        if not (overlaps[i, kept] > iou_threshold).any():
            kept.append(i)
    return kept


@pytest.mark.parametrize('mode', ['cube', 'sphere'])
@pytest.mark.parametrize('iou_threshold', THRESHOLDS)
def test_equals_greedy(iou_threshold, mode):
    for seed in range(12):
        spheres, scores = draw(seed)
        expected = plain_nms(spheres, scores.tolist(), iou_threshold, mode)
        assert 1 <= len(expected) <= 300
        assert nms_3d(spheres, scores, iou_threshold, mode=mode).tolist() == expected


@pytest.mark.parametrize('first, largest, pairs', [(1, 4, 7), (16, 64, 1000), (100, 100, 2**19)])
def test_equals_greedy_in_any_blocks(monkeypatch, first, largest, pairs):
    scope = batched_nms_3d.__wrapped__.__globals__
    monkeypatch.setitem(scope, 'FIRST_BLOCK', first)
    monkeypatch.setitem(scope, 'BLOCK', largest)
    monkeypatch.setitem(scope, 'MAX_PAIRS', pairs)
    for seed in range(6):
        spheres, scores = draw(seed, 100)
        expected = plain_nms(spheres, scores.tolist(), 0.1)
        assert nms_3d(spheres, scores, 0.1).tolist() == expected


def test_known_suppression():
    spheres = torch.tensor([[5.0, 5, 5, 4], [5, 5, 6, 4], [5, 5, 8, 4], [50, 5, 5, 4]])
    scores = torch.tensor([0.5, 0.9, 0.8, 0.1])  # IoU 3/5, 1/7 and 1/3 of 0-1, 0-2, 1-2
    assert nms_3d(spheres, scores, 0.5).tolist() == [1, 2, 3]
    assert nms_3d(spheres, scores, 0.2).tolist() == [1, 3]
    # 1 drops 2 and 0; what is dropped drops nothing
    chain = torch.tensor([[5.0, 5, 5, 4], [5, 5, 7, 4], [5, 5, 9, 4]])
    assert nms_3d(chain, torch.tensor([0.9, 0.8, 0.7]), 0.2).tolist() == [0, 2]


def test_long_chain():
    """Each drops the next unless it is dropped itself: every other one is kept."""
    spheres = torch.zeros(701, 4)
    spheres[:, 2] = torch.arange(701) * 2.0
    spheres[:, 3] = 4
    assert nms_3d(spheres, torch.linspace(1, 0, 701), 0.2).tolist() == list(range(0, 701, 2))


def test_ties_keep_the_first():
    spheres = torch.tensor([[5.0, 5, 5, 4]]).repeat(3, 1)
    assert nms_3d(spheres, torch.tensor([0.5, 0.7, 0.7]), 0.5).tolist() == [1]


def test_equals_mmcv_in_planes():
    """Of cubes on a line the IoU is that of squares on it, apart from one more factor."""
    torch.manual_seed(0)
    spheres, scores = torch.zeros(200, 4), torch.rand(200)
    spheres[:, 2], spheres[:, 3] = torch.rand(200) * 300, 8
    y, x, half = spheres[:, 1], spheres[:, 2], 4
    flat = torch.stack([x - half, y - half, x + half, y + half], 1)
    assert nms_3d(spheres, scores, 0.3).equal(nms(flat, scores, 0.3)[1])


def test_groups_are_apart():
    spheres, scores = draw(0)
    groups = torch.arange(300) % 7
    kept = batched_nms_3d(spheres, scores, groups, 0.1)
    assert (scores[kept].diff() <= 0).all()
    for group in range(7):
        own = (groups == group).nonzero().squeeze(1)
        expected = own[nms_3d(spheres[own], scores[own], 0.1)]
        assert kept[groups[kept] == group].equal(expected)


def test_max_num():
    spheres, scores = draw(2)
    everything = nms_3d(spheres, scores, 0.1)
    assert len(everything) > 10
    assert nms_3d(spheres, scores, 0.1, max_num=10).equal(everything[:10])
    assert nms_3d(spheres, scores, 0.1, max_num=0).tolist() == []
    assert nms_3d(spheres, scores, 0.1, max_num=1000).equal(everything)
    assert nms_3d(spheres, scores, 1.0, max_num=3).equal(scores.argsort(descending=True)[:3])


def test_box_type_precision_and_one_huge_sphere():
    spheres, scores = draw(1)
    spheres[7, 3], spheres[8, 3] = 1e5, 1e-5
    expected = plain_nms(spheres, scores.tolist(), 0.1)
    assert nms_3d(SphereBoxes(spheres), scores, 0.1).tolist() == expected
    half = spheres.clamp(max=6e4).half()
    assert nms_3d(half, scores, 0.1).tolist() == plain_nms(half, scores.tolist(), 0.1)


def test_what_is_not_finite_or_empty_overlaps_nothing():
    spheres = torch.tensor([[5.0, 5, 5, 4]]).repeat(6, 1)
    spheres[1, 0], spheres[2, 3], spheres[3, 3] = math.nan, math.inf, 0
    scores = torch.linspace(1, 0.5, 6)
    assert nms_3d(spheres, scores, 0.3).tolist() == [0, 1, 2, 3]


def test_none_and_errors():
    none = torch.zeros(0, 4)
    assert nms_3d(none, none[:, 0], 0.5).shape == (0,)
    with pytest.raises(ValueError, match='3 boxes, 2 scores and 2 groups'):
        nms_3d(torch.rand(3, 4), torch.rand(2), 0.5)
    with pytest.raises(ValueError, match="'cube', 'sphere'.*not 'ball'"):
        nms_3d(none, none[:, 0], 0.5, mode='ball')
