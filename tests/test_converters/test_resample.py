import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.converters.resample import isotropic_grid, resample
from mmlesion.structures import Grid

BALLS = [(12.3, 14.8, 9.1, 8.0), (30.2, 21.7, 31.4, 5.0)]  # mm from the corner, diameter
AIR, LESION = -850, 40
IDENTITY = (1, 0, 0, 0, 1, 0, 0, 0, 1)


def as_image(array, direction=IDENTITY, spacing=(0.7, 0.8, 2.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-31.0, 17.5, 240.0))
    image.SetDirection(np.ravel(direction).tolist())
    return image


def tilt(degrees):
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])


def balls(direction, spacing=(0.7, 0.8, 2.0), side=44.0):
    """An image of balls, by the share of each voxel that they cover, and their world centers."""
    fine = 4  # points a voxel and axis
    size = np.round(side / np.array(spacing)).astype(int)
    axes = [(np.arange(n * fine) + 0.5) / fine * mm for n, mm in zip(size, spacing)]
    z, y, x = np.meshgrid(*axes[::-1], indexing='ij')
    covered = np.zeros(z.shape, bool)
    for cx, cy, cz, diameter in BALLS:
        covered |= (x - cx) ** 2 + (y - cy) ** 2 + (z - cz) ** 2 < (diameter / 2) ** 2
    nz, ny, nx = size[::-1]
    share = covered.reshape(nz, fine, ny, fine, nx, fine).mean((1, 3, 5))
    image = as_image((AIR + (LESION - AIR) * share).round().astype(np.int16), direction, spacing)
    voxels = [np.array(ball[2::-1]) / spacing[::-1] for ball in BALLS]
    return image, Grid.from_image(image).to_world(voxels)


@pytest.mark.parametrize('flip', [(1, 1, 1), (-1, -1, 1), (1, 1, -1)])
@pytest.mark.parametrize('degrees', [0, 14])
@pytest.mark.parametrize('spacing', [(0.7, 0.8, 2.0), (0.6, 0.6, 1.25)])
def test_lesions_keep_their_centers(flip, degrees, spacing):
    """A scan read, resampled and mapped back: lesion centers within 0.5 mm."""
    image, world = balls(tilt(degrees) @ np.diag(flip), spacing)
    oriented = sitk.DICOMOrient(image, 'LPI')
    source = Grid.from_image(oriented)
    grid = isotropic_grid(source, (0, 3, 5), source.size)
    hu = resample(oriented, grid).astype(float)
    for center, (*_, diameter) in zip(world, BALLS):
        z, y, x = np.indices(hu.shape) + 0.5
        (cz, cy, cx) = grid.from_world([center])[0]
        near = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2 < (diameter / 2 + 3) ** 2
        weight = (hu[near] - AIR) / (hu[near] - AIR).sum()
        measured = grid.to_world([[(weight * axis[near]).sum() for axis in (z, y, x)]])
        assert np.linalg.norm(measured - center) < 0.5


def test_the_grid_is_of_1_mm_and_begins_where_it_is_told():
    grid = Grid((10, 20, 30), (0.5, 0.5, 2.5), (0.0, 0.0, 0.0), tuple(np.eye(3).ravel()))
    new = isotropic_grid(grid, (2, 4, 6), (6, 20, 26))
    assert new.size == (10, 8, 10) and new.spacing == (1.0, 1.0, 1.0)
    corner = grid.to_world([[2, 4, 6]])
    np.testing.assert_allclose(new.to_world([[0, 0, 0]]), corner)
    np.testing.assert_allclose(new.to_world([[10, 8, 10]]), grid.to_world([[6, 20, 26]]))
    assert isotropic_grid(grid, (0, 0, 0), (0.1, 0.1, 0.1)).size == (1, 1, 1)


def test_a_ramp_stays_a_ramp_and_hu_are_clipped():
    z, y, x = np.indices((12, 24, 24))
    image = as_image((20 * z + 4 * y + 2 * x).astype(np.int16), spacing=(0.5, 0.5, 2.0))
    source = Grid.from_image(image)
    hu = resample(image, isotropic_grid(source, (1, 2, 2), (11, 22, 22)))
    z, y, x = np.indices(hu.shape) + 0.5
    expected = 20 * (1 + z / 2 - 0.5) + 4 * (2 + y * 2 - 0.5) + 2 * (2 + x * 2 - 0.5)
    np.testing.assert_allclose(hu, expected, rtol=0, atol=0.5)
    wide = as_image(np.full((4, 4, 4), 20000, np.int16))
    assert resample(wide, Grid.from_image(wide)).max() == 3071
    outside = Grid((2, 2, 2), (1.0,) * 3, (900.0,) * 3, tuple(np.eye(3).ravel()))
    assert (resample(wide, outside) == -1024).all()
