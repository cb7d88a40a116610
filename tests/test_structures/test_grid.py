import itertools
from dataclasses import asdict

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.structures.grid import Grid, from_index, to_index

SIGNED_AXES = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in ((1, 1, 1), (-1, -1, 1), (1, -1, -1))
]


def tilted(axes, degrees):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ axes


def make_image(direction, size=(40, 30, 20), spacing=(0.7, 0.9, 2.5)):
    image = sitk.Image(size, sitk.sitkInt16)
    image.SetSpacing(spacing)
    image.SetOrigin((-120.3, 44.1, 801.7))
    image.SetDirection(np.ravel(direction).tolist())
    return image


@pytest.mark.parametrize('axes', SIGNED_AXES)
@pytest.mark.parametrize('degrees', [0, 17])
def test_points_go_to_the_world_as_simpleitk_has_it_and_back(axes, degrees):
    image = make_image(tilted(axes, degrees))
    grid = Grid.from_image(image)
    points = np.random.default_rng(0).uniform(-5, 45, (50, 3))
    world = grid.to_world(points)
    expected = [
        image.TransformContinuousIndexToPhysicalPoint((point[::-1] - 0.5).tolist())
        for point in points
    ]
    np.testing.assert_allclose(world, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(grid.from_world(world), points, rtol=0, atol=1e-6)


def test_the_first_voxel_s_center_is_the_origin():
    grid = Grid((20, 30, 40), (1.0, 1.0, 1.0), (5.0, 6.0, 7.0), tuple(np.eye(3).ravel()))
    np.testing.assert_allclose(grid.to_world([[0.5, 0.5, 0.5]]), [[5, 6, 7]])
    np.testing.assert_allclose(grid.to_world([[1.5, 2.5, 3.5]]), [[8, 8, 8]])


def test_spheres():
    grid = Grid.from_image(make_image(-np.eye(3), spacing=(2.0, 2.0, 2.0)))
    world = grid.spheres_to_world([[0.5, 0.5, 1.5, 4.0]])
    np.testing.assert_allclose(world, [[-122.3, 44.1, 801.7, 8.0]])
    np.testing.assert_allclose(grid.spheres_from_world(world), [[0.5, 0.5, 1.5, 4.0]])
    assert grid.spheres_to_world(np.empty((0, 4))).shape == (0, 4)


def test_boxes_around_spheres():
    grid = Grid((9, 9, 9), (0.5, 1.0, 2.0), (10.0, 20.0, 30.0), (1, 0, 0, 0, 1, 0, 0, 0, -1))
    boxes = grid.boxes_around(np.array([[11.0, 23.0, 26.0, 4.0]]))
    assert boxes.tolist() == [[2.5 - 1, 3.5 - 2, 2.5 - 4, 2.5 + 1, 3.5 + 2, 2.5 + 4]]


def test_contains_points_up_to_the_faces_of_the_last_voxels():
    grid = Grid((2, 3, 4), (0.5, 1.0, 2.0), (10.0, 20.0, 30.0), (1, 0, 0, 0, 1, 0, 0, 0, -1))
    corners = grid.to_world([[0, 0, 0], [1.99, 2.99, 3.99], [2, 1, 1], [1, 1, -0.01]])
    assert grid.contains(corners).tolist() == [True, True, False, False]


def test_a_grid_of_an_annotation_is_that_of_its_image():
    grid = Grid.from_image(make_image(np.eye(3)))
    assert Grid.from_annotation({**asdict(grid), 'id': 1}) == grid


def test_index_is_simpleitks():
    assert to_index([0.5, 1.5, 2.0]).tolist() == [[1.5, 1.0, 0.0]]
    np.testing.assert_array_equal(from_index(to_index([[1.0, 2.0, 3.0]])), [[1, 2, 3]])


def test_spheres_need_cubes():
    with pytest.raises(ValueError, match='isotropic voxels'):
        Grid.from_image(make_image(np.eye(3))).spheres_to_world([[1, 1, 1, 1]])
