import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmdet.structures.bbox import bbox_overlaps

from mmlesion.anchors import (
    OBJECTIVES,
    RETINANET_RATIO_PAIRS,
    RETINANET_SCALES,
    TRIED_VALUES,
    AlignedOverlap,
    GridOverlap,
    anchor_ratios,
    anchor_shapes,
    search_anchors,
)
from mmlesion.utils import UserError

SIZES = [32, 64, 128, 256, 512]
STRIDES = [4, 8, 16, 32, 64]
VAL = Path(__file__).parents[3] / 'shared/data/deeplesion/deeplesion_val_coco.json'


@pytest.fixture
def shapes():
    return np.exp(np.random.default_rng(0).uniform(np.log(4), np.log(700), (500, 2)))


@pytest.fixture
def population():
    rng = np.random.default_rng(1)
    return rng.uniform(1, 4, (7, 2)), rng.uniform(0.3, 1.8, (7, 3))


@pytest.fixture(scope='module')
def val_shapes():
    if not VAL.exists():
        pytest.skip(f'{VAL} is not there')
    return np.array([ann['bbox'][2:] for ann in json.loads(VAL.read_text())['annotations']])


def plain_aligned(shapes, pairs, scales, sizes):
    """Every anchor of one set against every box."""
    anchors = anchor_shapes(pairs, scales, sizes).reshape(-1, 2)
    shared = np.minimum(shapes[:, None], anchors).prod(axis=2)
    union = shapes.prod(axis=1)[:, None] + anchors.prod(axis=1) - shared
    return (shared / union).max(axis=1)


def mmdet_grid(corners, pairs, scales, sizes, strides, extent):
    """Every anchor that mmdet puts on one image of width and height ``extent``."""
    generator = AnchorGenerator(
        strides=strides, base_sizes=sizes, scales=list(scales), ratios=anchor_ratios(pairs)
    )
    maps = [(-(-extent[1] // stride), -(-extent[0] // stride)) for stride in strides]
    anchors = torch.cat(generator.grid_priors(maps, device='cpu'))
    return bbox_overlaps(torch.from_numpy(corners).float(), anchors).max(dim=1).values.numpy()


def random_corners(count, extent):
    rng = np.random.default_rng(2)
    first, second = rng.uniform(0, 1, (2, count, 2)) * extent
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.hstack([low, np.maximum(high, low + 2)])


def test_ratios_and_shapes_are_mmdets():
    assert anchor_ratios([2, 4]) == [0.25, 0.5, 1, 2, 4]
    generator = AnchorGenerator(
        strides=[4, 8], base_sizes=[32, 48], scales=[0.5, 1], ratios=[0.25, 1, 4]
    )
    corners = torch.stack(generator.base_anchors).numpy()
    ours = anchor_shapes([4], [0.5, 1], [32, 48])
    assert ours.shape == (2, 2, 3, 2)
    assert ours[0, 1, 0].tolist() == [64, 16]
    theirs = np.sort(corners[..., 2:] - corners[..., :2], axis=1)
    assert theirs == pytest.approx(np.sort(ours.reshape(2, 6, 2), axis=1))


@pytest.mark.parametrize(
    ('shape', 'expected'),
    [
        ((32, 32), 1),  # an anchor itself
        ((16, 64), 1),  # the 4:1 anchor
        ((64, 16), 1),  # the 1:4 anchor
        ((16, 16), 1 / 4),  # inside the square anchor
        ((128, 128), 1 / 16),  # around the square anchor
        ((128, 8), 1 / 3),  # 64 x 16: shares 64 x 8 of 1024 + 1024
    ],
)
def test_known_boxes(shape, expected):
    assert AlignedOverlap([shape], [32]).best_iou([4], [1]) == pytest.approx([expected])


@pytest.mark.parametrize(
    ('corners', 'expected'),
    [
        ([16, 16, 48, 48], 1),  # centered on a multiple of the stride
        ([0, 16, 32, 48], 1 / 3),  # 16 px beside the anchor at 32: shares half
        ([24, 16, 56, 48], 3 / 5),  # 8 px beside it: shares three quarters
        ([40, 40, 72, 72], 1 / 31),  # the image ends at 64: the last anchor is 24 px off, at 32
    ],
)
def test_known_boxes_on_a_grid(corners, expected):
    overlap = GridOverlap([corners], [[64, 64]], [32], [32])
    assert overlap.best_iou([], [1]) == pytest.approx([expected])


def test_aligned_overlap_is_that_of_every_anchor(shapes, population):
    overlap = AlignedOverlap(shapes, SIZES)
    for pairs, scales in zip(*population):
        expected = plain_aligned(shapes, pairs, scales, SIZES)
        assert overlap.best_iou(pairs, scales) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('sizes', [[24], [200, 32, 32]])
@pytest.mark.parametrize('num_pairs', [0, 1, 3])
def test_aligned_overlap_with_other_numbers(shapes, sizes, num_pairs):
    pairs, scales = [1.2, 3, 1.7][:num_pairs], [0.8, 1.6]
    expected = plain_aligned(shapes, pairs, scales, sizes)
    assert AlignedOverlap(shapes, sizes).best_iou(pairs, scales) == pytest.approx(expected)


@pytest.mark.parametrize('extent', [(256, 256), (200, 130)])
def test_grid_overlap_is_that_of_every_mmdet_anchor(extent, population):
    corners = random_corners(150, extent)
    sizes, strides = [32, 64, 90], [8, 16, 32]
    overlap = GridOverlap(corners, np.tile(extent, (150, 1)), sizes, strides)
    for pairs, scales in zip(*population):
        expected = mmdet_grid(corners, pairs, scales, sizes, strides, extent)
        assert overlap.best_iou(pairs, scales) == pytest.approx(expected, abs=2e-5)


def test_grid_overlap_where_levels_have_the_same_side():
    """The finer stride must win, whichever level the sort puts first."""
    corners = random_corners(150, (256, 256))
    extents = np.full((150, 2), 256)
    both = GridOverlap(corners, extents, [32, 64], [64, 8]).best_iou([2], [1, 2])
    expected = mmdet_grid(corners, [2], [1, 2], [32, 64], [64, 8], (256, 256))
    assert both == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    ('name', 'plain'),
    [
        ('iou', lambda iou: 1 - iou),
        ('ce', lambda iou: -np.log(iou)),
        ('focal', lambda iou: -((1 - iou) ** 2) * np.log(iou)),
    ],
)
def test_loss_of_a_population_is_that_of_each_set(name, plain, monkeypatch, shapes, population):
    monkeypatch.setattr('mmlesion.anchors.BLOCK', 3 * len(shapes))
    losses = AlignedOverlap(shapes, SIZES).mean_loss(*population, OBJECTIVES[name])
    expected = [plain(plain_aligned(shapes, *values, SIZES)).mean() for values in zip(*population)]
    assert losses == pytest.approx(expected, rel=1e-12)
    corners = np.hstack([256 - shapes / 2, 256 + shapes / 2])
    # 256 is a multiple of every stride: centers coincide.
    grid = GridOverlap(corners, np.full_like(shapes, 512), SIZES, STRIDES)
    assert grid.mean_loss(*population, OBJECTIVES[name]) == pytest.approx(expected, rel=1e-12)


def test_a_lesion_without_overlap_keeps_the_loss_finite():
    overlap = GridOverlap([[60, 60, 64, 64]], [[64, 64]], [8], [64])
    assert overlap.best_iou([], [1]) == [0]
    ratio_pairs, scales = np.empty((1, 0)), np.ones((1, 1))
    assert overlap.mean_loss(ratio_pairs, scales, OBJECTIVES['ce']) == pytest.approx(7 * np.log(10))


def test_search_finds_the_anchors_that_the_boxes_are():
    truth = anchor_shapes([1.5, 3], [0.5, 0.7], [32, 128]).reshape(-1, 2)
    found = search_anchors(
        AlignedOverlap(truth, [32, 128]), scale_bounds=[(0.4, 0.6), (0.6, 1)], seed=3
    )
    assert found.converged
    assert found.ratio_pairs == pytest.approx([1.5, 3], rel=1e-2)
    assert found.scales == pytest.approx([0.5, 0.7], rel=1e-2)


def test_the_seed_decides_and_evaluations_are_counted(shapes):
    overlap = AlignedOverlap(shapes, SIZES)
    counted = []
    plain = overlap.mean_loss

    def counting(ratio_pairs, scales, loss):
        counted.append(len(scales))
        return plain(ratio_pairs, scales, loss)

    overlap.mean_loss = counting
    first, again, other = (search_anchors(overlap, seed=s, popsize=5, maxiter=4) for s in (0, 0, 1))
    assert first._replace(seconds=0) == again._replace(seconds=0)
    assert first.scales != other.scales
    assert not first.converged
    searches = (first, again, other)
    # of each of the five variables, a few values are tried afterwards, for the doubts
    num_tried = len(searches) * 5 * TRIED_VALUES
    assert sum(search.num_evaluations for search in searches) == sum(counted) - num_tried
    assert first.num_evaluations >= 5 * 5 * 5


def test_bounds_hold(shapes):
    found = search_anchors(
        AlignedOverlap(shapes, SIZES), [(1.5, 1.6)], [(0.9, 1), (1.2, 1.2)], popsize=5, maxiter=5
    )
    assert 1.5 <= found.ratio_pairs[0] <= 1.6
    assert 0.9 <= found.scales[0] <= 1
    assert found.scales[1] == 1.2


def test_published_anchors_on_the_validation_set(val_shapes):
    overlap = AlignedOverlap(val_shapes, SIZES)
    before = overlap.best_iou(RETINANET_RATIO_PAIRS, RETINANET_SCALES)
    paper = overlap.best_iou([3.27, 1.78], [0.425, 0.540, 0.680])
    assert before.mean() == pytest.approx(0.636, abs=5e-4)
    assert paper.mean() == pytest.approx(0.851, abs=5e-4)
    squared = overlap.best_iou([3.27**0.5, 1.78**0.5], [0.425, 0.540, 0.680])
    assert squared.mean() == pytest.approx(0.878, abs=5e-4)
    assert before == pytest.approx(
        plain_aligned(val_shapes, RETINANET_RATIO_PAIRS, RETINANET_SCALES, SIZES)
    )


def test_search_on_the_validation_set(val_shapes):
    overlap = AlignedOverlap(val_shapes, SIZES)
    found = search_anchors(overlap, seed=0)
    assert found.converged
    assert overlap.best_iou(found.ratio_pairs, found.scales).mean() >= 0.879
    # What SciPy's own settings, one set at a time, take on this file at most, of eight seeds.
    assert found.num_evaluations >= 3780


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(ratio_bounds=[(0.5, 2)]), 'ratio bounds 0.5 to 2 .* at least 1'),
        (dict(ratio_bounds=[(2, 1)]), 'ratio bounds 2 to 1'),
        (dict(scale_bounds=[(0, 1)]), 'scale bounds 0 to 1 .* above 0'),
        (dict(scale_bounds=[(1, np.nan)]), 'scale bounds 1 to nan'),
        (dict(scale_bounds=[]), 'at least one scale'),
        (dict(objective='giou'), "'giou' is none of iou, ce, focal"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(UserError, match=message):
        search_anchors(AlignedOverlap([[20, 30]], SIZES), **settings)


@pytest.mark.parametrize(
    ('shapes', 'sizes', 'message'),
    [
        (np.empty((0, 2)), SIZES, 'no box'),
        ([[0, 3]], SIZES, 'positive'),
        ([[np.nan, 3]], SIZES, 'positive'),
        ([[2, 3]], [], 'positive'),
        ([[2, 3]], [-32], 'positive'),
    ],
)
def test_bad_boxes_and_sizes(shapes, sizes, message):
    with pytest.raises(UserError, match=message):
        AlignedOverlap(shapes, sizes)


def test_strides_must_match_the_sizes():
    with pytest.raises(UserError, match='2 anchor sizes need as many strides'):
        GridOverlap([[0, 0, 9, 9]], [[64, 64]], [32, 64], [4])
