import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.structures.ct_volume import CTVolume
from mmlesion.structures.grid import Grid, from_index

FLIPS_AND_PERMUTATIONS = [
    np.eye(3)[list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in ((1, 1, 1), (-1, -1, 1), (1, -1, -1))
]


def rotation(degrees_x, degrees_z):
    x, z = np.radians([degrees_x, degrees_z])
    about_x = [[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]]
    about_z = [[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]]
    return np.array(about_x) @ about_z


def world_of(image, index):
    return Grid.from_image(image).to_world(from_index(index))


def make_image(direction, size=(7, 6, 5)):
    image = sitk.GetImageFromArray(np.arange(np.prod(size), dtype=np.int16).reshape(size[::-1]))
    image.SetSpacing((0.7, 0.9, 2.5))
    image.SetOrigin((-120.3, 44.1, 801.7))
    image.SetDirection(np.ravel(direction).tolist())
    return image


@pytest.mark.parametrize('direction', FLIPS_AND_PERMUTATIONS)
@pytest.mark.parametrize('tilt', [(0, 0), (12, -20)])
def test_every_voxel_keeps_its_value_and_place(direction, tilt):
    image = make_image(rotation(*tilt) @ direction)
    volume = CTVolume(image)
    oriented = sitk.DICOMOrient(image, 'LPI')
    z, y, x = np.indices(volume.array.shape).reshape(3, -1)
    boxes = np.stack([z, y, x, z + 1, y + 1, x + 1], axis=1)
    voxels = volume.boxes_to_index(boxes)
    centers = (voxels[:, :3] + voxels[:, 3:]) / 2
    values = [image[i] for i in centers.astype(int).tolist()]
    assert values == volume.array[z, y, x].tolist()
    world = [
        oriented.TransformIndexToPhysicalPoint(p) for p in zip(*(a.tolist() for a in (x, y, z)))
    ]
    np.testing.assert_allclose(world_of(image, centers), world, atol=1e-6)
    np.testing.assert_allclose(volume.grid.to_world(boxes[:, :3] + 0.5), world, atol=1e-6)


@pytest.mark.parametrize('tilt', [(0, 0), (25, 10)])
@pytest.mark.parametrize('direction', FLIPS_AND_PERMUTATIONS[:9])
def test_training_orientation_and_round_trip(direction, tilt):
    image = make_image(rotation(*tilt) @ direction)
    volume = CTVolume(image)
    voxels = volume.boxes_to_index([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 1, 2], [0, 1, 0, 1, 2, 1]])
    along = world_of(image, (voxels[:, :3] + voxels[:, 3:]) / 2)
    assert (along[1] - along[0]).argmax() == 0, 'columns run to the left'
    assert (along[2] - along[0]).argmax() == 1, 'rows run to posterior'
    boxes = np.random.default_rng(0).uniform(0, 3, (20, 6))
    boxes[:, 3:] += boxes[:, :3]
    np.testing.assert_allclose(
        volume.boxes_from_index(volume.boxes_to_index(boxes)), boxes, atol=1e-6
    )


@pytest.mark.parametrize('direction', FLIPS_AND_PERMUTATIONS)
def test_arrays_points_and_slices_go_the_same_way(direction):
    image = make_image(rotation(12, -20) @ direction)
    volume = CTVolume(image)
    array = sitk.GetArrayFromImage(image)
    seen = volume.oriented(array)
    np.testing.assert_array_equal(seen, volume.array)
    seen[1, 2, 3] = -7
    i, j, k = volume.points_to_index((1.5, 2.5, 3.5))[0].astype(int)
    assert array[k, j, i] == -7, 'it is a view'
    assert (i, j, k)[volume.slice_axis] == volume.slice_number(1)
    numbers = [volume.slice_number(index) for index in range(len(volume.array))]
    assert [volume.slice_index(number) for number in numbers] == [*range(len(volume.array))]
    points = np.random.default_rng(0).uniform(0, 5, (10, 3))
    there = volume.points_to_index(points)
    np.testing.assert_allclose(volume.points_from_index(there), points, atol=1e-9)


def test_known_box_and_slice_axis():
    volume = CTVolume(make_image(np.eye(3)))  # LPS: only the slices are reversed
    np.testing.assert_allclose(
        volume.boxes_to_index([[0, 2, 1, 2, 5, 3]]), [[0.5, 1.5, 2.5, 2.5, 4.5, 4.5]]
    )
    assert volume.slice_axis == 2 and volume.spacing == (0.7, 0.9, 2.5)
    sagittal = CTVolume(make_image([[0, 0, 1], [1, 0, 0], [0, 1, 0]]))  # i to P, j to S, k to L
    assert sagittal.slice_axis == 1 and sagittal.spacing == (2.5, 0.7, 0.9)


def test_world_points_are_simpleitks():
    image = make_image(rotation(10, 30))
    points = np.random.default_rng(1).uniform(0, 5, (10, 3))
    expected = [image.TransformContinuousIndexToPhysicalPoint(p) for p in points.tolist()]
    np.testing.assert_allclose(world_of(image, points), expected, atol=1e-6)


def test_voxels_are_not_copied_and_outlive_the_image():
    expected = sitk.GetArrayFromImage(make_image(np.eye(3)))[::-1]
    image = make_image(np.eye(3))
    array = CTVolume(image).array
    assert np.shares_memory(array, sitk.GetArrayViewFromImage(image))
    assert not array.flags.writeable
    del image
    others = [make_image(np.eye(3)) * 0 for _ in range(50)]  # which would take its place
    assert np.array_equal(array, expected) and len(others) == 50


def test_slices_along_another_axis_of_the_file_are_copied():
    image = make_image(np.eye(3)[[2, 0, 1]])
    array = CTVolume(image).array
    assert not np.shares_memory(array, sitk.GetArrayViewFromImage(image))
    assert array.flags.c_contiguous
