import math

import pytest
import torch

from mmlesion.structures import sphere_overlaps


def draw(n, seed, extent=10.0, dtype=torch.float64):
    spheres = torch.rand(n, 4, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return spheres * extent + torch.tensor([0, 0, 0, 0.5], dtype=dtype)


def test_cubes_known_values():
    one = torch.tensor([[0.0, 0, 0, 2]])
    others = torch.tensor([[1.0, 0, 0, 2], [1, 1, 1, 2], [0, 0, 0, 4], [0, 2, 0, 2], [0, 0, 0, 2]])
    expected = torch.tensor([[4 / 12, 1 / 15, 8 / 64, 0, 1]])
    torch.testing.assert_close(sphere_overlaps(one, others), expected)
    of_first = sphere_overlaps(others, one, mode='iof').squeeze(1)
    torch.testing.assert_close(of_first, torch.tensor([1 / 2, 1 / 8, 1 / 8, 0, 1]))


def test_spheres_known_values():
    """Spheres of radius 1 at a distance of 1 share 5 / 12 pi, 5 / 16 of each."""
    one = torch.tensor([[0.0, 0, 0, 2]], dtype=torch.float64)
    others = torch.tensor(
        [[1.0, 0, 0, 2], [0, 0.4, 0, 1], [0, 0, 0.5, 1], [0, 0, 2, 2], [0, 0, 0, 2]],
        dtype=torch.float64,
    )
    expected = torch.tensor([[5 / 27, 1 / 8, 1 / 8, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(sphere_overlaps(one, others, shape='sphere'), expected)
    iof = sphere_overlaps(one, others, mode='iof', shape='sphere')
    expected = torch.tensor([[5 / 16, 1 / 8, 1 / 8, 0, 1]], dtype=torch.float64)
    torch.testing.assert_close(iof, expected)


@pytest.mark.parametrize('shape', ['cube', 'sphere'])
def test_equals_a_fine_grid(shape):
    """Count the points of a grid that both, and either, contain."""
    axis = (torch.arange(80, dtype=torch.float64) + 0.5) / 8  # cubes end between points
    points = torch.cartesian_prod(axis, axis, axis)
    first = torch.tensor([[5.0, 5, 5, 6], [4, 5, 6, 4]], dtype=torch.float64)
    second = torch.tensor([[6.5, 4, 5.5, 5], [5, 5.5, 5, 7]], dtype=torch.float64)

    def contains(sphere):
        offsets = points - sphere[:3]
        distance = offsets.norm(dim=1) if shape == 'sphere' else offsets.abs().amax(1)
        return distance <= sphere[3] / 2

    got = sphere_overlaps(first, second, shape=shape)
    for i, j in [(0, 0), (0, 1), (1, 0), (1, 1)]:
        inside1, inside2 = contains(first[i]), contains(second[j])
        counted = (inside1 & inside2).sum() / (inside1 | inside2).sum()
        assert 0.05 < counted < 0.95
        assert got[i, j].item() == pytest.approx(counted.item(), abs=0.005)


@pytest.mark.parametrize('shape', ['cube', 'sphere'])
def test_aligned_symmetric_and_bounded(shape):
    first, second = draw(40, 0), draw(40, 1)
    overlaps = sphere_overlaps(first, second, shape=shape)
    aligned = sphere_overlaps(first, second, is_aligned=True, shape=shape)
    torch.testing.assert_close(overlaps.diagonal(), aligned)
    torch.testing.assert_close(sphere_overlaps(second, first, shape=shape), overlaps.T)
    assert (overlaps >= 0).all() and (overlaps <= 1 + 1e-12).all()
    assert (overlaps == 0).any() and (overlaps > 0.3).any()


def test_half_precision_does_not_overflow():
    large = torch.tensor([[300.0, 300, 300, 60]]).half()  # 216000 voxels
    assert sphere_overlaps(large, large).item() == pytest.approx(1)
    assert sphere_overlaps(large, large).dtype == torch.float32


def test_empty():
    none, some = torch.zeros(0, 4), torch.rand(3, 4)
    assert sphere_overlaps(none, some).shape == (0, 3)
    assert sphere_overlaps(some, none, shape='sphere').shape == (3, 0)
    zero = torch.tensor([[1.0, 1, 1, 0]])
    for shape in ('cube', 'sphere'):
        assert sphere_overlaps(zero, zero, shape=shape).item() == 0


def test_errors():
    some = torch.rand(3, 4)
    with pytest.raises(ValueError, match="'iou' or 'iof', not 'giou'"):
        sphere_overlaps(some, some, mode='giou')
    with pytest.raises(ValueError, match="'cube', 'sphere'.*not 'ball'"):
        sphere_overlaps(some, some, shape='ball')
    with pytest.raises(ValueError, match='3 spheres cannot be aligned with 2'):
        sphere_overlaps(some, some[:2], is_aligned=True)


def test_concentric_spheres_are_their_ratio():
    diameters = torch.tensor([1.0, 2, 5, 10])
    spheres = torch.cat([torch.full((4, 3), math.pi), diameters[:, None]], 1)
    ratio = (diameters[:, None] / diameters).clamp(max=1)
    expected = torch.minimum(ratio, ratio.T) ** 3
    for shape in ('cube', 'sphere'):
        torch.testing.assert_close(sphere_overlaps(spheres, spheres, shape=shape), expected)
