import math

import numpy as np
import pytest
import torch
from mmdet.structures.bbox import HorizontalBoxes, bbox2roi, cat_boxes, get_box_type

from mmlesion.structures.spheres import SphereBoxes, sphere_overlaps

SHAPE = (10, 20, 30)


def boxes():
    return SphereBoxes([[1.0, 2, 3, 4], [5, 6, 7, 2]])


def test_registered():
    assert get_box_type('sphere') == ('sphere', SphereBoxes)
    assert get_box_type(SphereBoxes) == ('sphere', SphereBoxes)
    assert len(cat_boxes([boxes(), boxes()])) == 4
    assert bbox2roi([boxes()]).tolist() == [[0, 1, 2, 3, 4], [0, 5, 6, 7, 2]]
    assert SphereBoxes([]).shape == (0, 4)


def test_lengths_and_volumes():
    spheres = boxes()
    assert spheres.centers.tolist() == [[1, 2, 3], [5, 6, 7]]
    for name in ('diameters', 'widths', 'heights', 'depths'):
        assert getattr(spheres, name).tolist() == [4, 2]
    expected = [4 / 3 * math.pi * 8, 4 / 3 * math.pi]
    assert spheres.volumes.tolist() == pytest.approx(expected, rel=1e-6)
    assert spheres.areas.tolist() == spheres.volumes.tolist()
    assert spheres.cubes.tolist() == [[-1, 0, 1, 3, 4, 5], [4, 5, 6, 6, 7, 8]]


@pytest.mark.parametrize('axis, center', [('z', [9, 2, 3]), ('y', [1, 18, 3]), ('x', [1, 2, 27])])
def test_flip(axis, center):
    spheres = boxes()
    spheres.flip_(SHAPE, axis)
    assert spheres.tensor[0].tolist() == [*center, 4]
    spheres.flip_(SHAPE, axis)
    assert spheres.tensor.equal(boxes().tensor)


def test_flip_follows_the_voxels():
    volume = np.zeros(SHAPE)
    volume[2, 3, 4] = 1
    spheres = SphereBoxes([[2.5, 3.5, 4.5, 1]])
    spheres.flip_(SHAPE, 'x')
    assert volume[:, :, ::-1][tuple(spheres.centers[0].long())] == 1


def test_move_and_scale():
    spheres = boxes()
    spheres.translate_((1, -2, 3))
    assert spheres.tensor.tolist() == [[2, 0, 6, 4], [6, 4, 10, 2]]
    spheres.rescale_(0.5)
    assert spheres.tensor.tolist() == [[1, 0, 3, 2], [3, 2, 5, 1]]
    spheres.rescale_((2, 2, 2))
    spheres.resize_((3, 3, 3))
    assert spheres.tensor.tolist() == [[2, 0, 6, 12], [6, 4, 10, 6]]
    spheres.clip_((3, 3, 3))
    assert spheres.tensor.tolist() == [[2, 0, 6, 12], [6, 4, 10, 6]]


def test_transforms_leave_the_data_given_alone():
    data = torch.tensor([[1.0, 2, 3, 4]])
    spheres = SphereBoxes(data)
    spheres.flip_(SHAPE, 'z')
    spheres.rescale_(2)
    assert data.tolist() == [[1, 2, 3, 4]]


def test_is_inside():
    spheres = SphereBoxes(
        [
            [5.0, 5, 5, 10],  # touches three borders from inside
            [5, 5, 5, 10.2],
            [-1, 5, 5, 1.8],  # is outside by 0.1
            [-1, 5, 5, 2.2],
            [-1, -1, 5, 2.2],  # its cube reaches in, but not the sphere
        ]
    )
    assert spheres.is_inside(SHAPE).tolist() == [True, True, False, True, False]
    assert spheres.is_inside(SHAPE, allowed_border=1).tolist() == [True] * 5
    assert spheres.is_inside(SHAPE, all_inside=True).tolist() == [True] + [False] * 4
    inside = spheres.is_inside(SHAPE, all_inside=True, allowed_border=0.2)
    assert inside.tolist() == [True, True, False, False, False]


def test_find_inside_points():
    points = torch.tensor([[1.0, 2, 5], [2.9, 3.9, 3], [5, 6, 7]])
    inside = boxes().find_inside_points(points)
    assert inside.tolist() == [[True, False], [False, False], [False, True]]
    assert boxes().find_inside_points(points[::2], is_aligned=True).tolist() == [True, True]
    with pytest.raises(ValueError, match='3 points cannot be aligned with 2 spheres'):
        boxes().find_inside_points(points, is_aligned=True)
    with pytest.raises(ValueError, match=r'must be \(n, 4\), not \(1, 2, 4\)'):
        boxes()[None].find_inside_points(points)


def test_overlaps():
    other = SphereBoxes([[1.0, 2, 5, 4]])
    overlaps = SphereBoxes.overlaps(boxes(), other)
    torch.testing.assert_close(overlaps, torch.tensor([[1 / 3], [0]]))
    iof = SphereBoxes.overlaps(boxes()[:1], other, mode='iof', is_aligned=True)
    torch.testing.assert_close(iof, torch.tensor([0.5]))


def test_what_makes_no_spheres():
    spheres = boxes()
    with pytest.raises(ValueError, match='one factor, or the same for z, y and x'):
        spheres.rescale_((1, 1, 2))
    with pytest.raises(ValueError, match='one factor'):
        spheres.resize_((2, 2))
    with pytest.raises(ValueError, match="'z', 'y', 'x'.*not 'horizontal'"):
        spheres.flip_(SHAPE, 'horizontal')
    with pytest.raises(ValueError, match='distances are three'):
        spheres.translate_((1, 2))
    with pytest.raises(NotImplementedError, match='no one plane'):
        spheres.rotate_((0, 0), 90)
    with pytest.raises(NotImplementedError, match='does not keep spheres'):
        spheres.project_(np.eye(3))
    with pytest.raises(NotImplementedError, match='planar'):
        SphereBoxes.from_instance_masks(None)
    with pytest.raises(AssertionError):
        spheres.convert_to(HorizontalBoxes)


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
