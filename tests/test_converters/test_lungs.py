import numpy as np
import pytest
import SimpleITK as sitk
from scipy import ndimage

from mmlesion.converters.lungs import (
    BONE,
    LungRegion,
    convex_slices,
    cut_to_lungs,
    fill_outside,
    number_lungs,
    split_lungs,
)
from mmlesion.utils import UserError


def ball(shape, center, radius):
    offsets = np.indices(shape) - np.reshape(center, (3, 1, 1, 1))
    return (offsets**2).sum(0) <= radius**2


def as_image(array, spacing=(1.0, 1.0, 1.0)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    return image


def eight_bit(hu):
    """The reference's scale: -1200 to 600 HU as 0 to 255, decimals cut off."""
    return (np.clip((hu + 1200) / 1800, 0, 1) * 255).astype(np.uint8)


def test_bone_is_what_the_reference_takes_for_it():
    hu = np.arange(-1200.0, 700.0, 0.25)
    np.testing.assert_array_equal(hu >= BONE, eight_bit(hu) > 210)
    assert eight_bit(0.0) == 170


def test_filled_as_in_the_reference():
    """Its rules spelled out: hull of a slice, ten dilations, bone in the rim, tissue elsewhere."""
    rng = np.random.default_rng(0)
    hu = rng.integers(-1100, 900, (24, 60, 64)).astype(np.int16)
    lungs = np.zeros(hu.shape, np.uint8)
    lungs[10:14, 20:40, 12:20] = 3
    lungs[10:14, 28:32, 12:15] = 0  # a notch, which the hull closes
    lungs[11:15, 22:38, 44:50] = 4
    filled = fill_outside(hu, lungs)
    hulls = np.zeros(hu.shape, bool)
    hulls[10:14, 20:40, 12:20] = True
    hulls[11:15, 22:38, 44:50] = True
    cross = ndimage.generate_binary_structure(3, 1)
    region = ndimage.binary_dilation(hulls, cross, iterations=10)
    bone = region & (lungs == 0) & (eight_bit(hu) > 210)
    expected = np.where(region & ~bone, hu, 0)
    np.testing.assert_array_equal(filled, expected)
    assert filled[12, 25, 15] == hu[12, 25, 15]  # lung keeps what is dense
    assert (filled[:, :, 62:] == 0).all() and bone.any()


def test_a_hull_that_would_take_in_the_heart_is_dropped():
    mask = np.zeros((3, 40, 40), bool)
    mask[0, 5:35, 5:35] = True
    mask[0, 10:30, 15:35] = False  # open to the side: 500 of 900
    mask[1, 5:35, 5:35] = True
    mask[1, 15:25, 25:35] = False  # 800 of 900
    hulls = convex_slices(mask)
    np.testing.assert_array_equal(hulls[0], mask[0])
    assert hulls[1, 5:35, 5:35].all() and hulls[1].sum() == 900
    assert not hulls[2].any()


def test_the_grid_is_the_lungs_box_and_the_margin():
    hu = np.full((30, 60, 70), -900, np.int16)
    lungs = np.zeros(hu.shape, np.uint8)
    lungs[10:20, 20:40, 14:54] = 3  # mm: 20 to 40, 16 to 32, 10.5 to 40.5
    image = as_image(hu, (0.75, 0.8, 2.0))
    for region in (LungRegion(0.0), LungRegion(6.0), LungRegion(6.0, 'keep')):
        cut, grid = cut_to_lungs(image, lungs, region)
        sides = np.array([20, 16, 30]) + 2 * region.margin
        assert cut.shape == grid.size == tuple(np.rint(sides))
        corner = np.array(grid.origin) + 0.5 * np.array([0.75, 0.8, 2.0])  # of the first voxel
        np.testing.assert_allclose(corner - 0.5, np.array([10.5, 16, 20]) - region.margin)


def test_what_is_kept_and_what_is_not():
    """A lung with a ball far outside of it and a rib beside it."""
    shape = (60, 80, 80)
    hu = np.full(shape, 40, np.int16)
    lungs = ball(shape, (30, 40, 40), 18).astype(np.uint8) * 3
    hu[lungs > 0] = -850
    hu[28:32, 38:42, 60:63] = 700
    hu[2:5, 2:5, 2:5] = 900
    image = as_image(hu)
    filled, grid = cut_to_lungs(image, lungs, LungRegion(30.0))
    kept, same = cut_to_lungs(image, lungs, LungRegion(30.0, 'keep'))
    assert grid == same and filled.shape == shape
    np.testing.assert_array_equal(kept, hu)
    assert (filled[2:5, 2:5, 2:5] == 0).all() and (filled[28:32, 38:42, 60:63] == 0).all()
    np.testing.assert_array_equal(filled[lungs > 0], hu[lungs > 0])
    assert set(np.unique(filled[lungs == 0])) == {0, 40}


def touching_lungs():
    """Two lungs that a windpipe joins: a wide ball, one of half its volume, a tube between."""
    shape = (50, 50, 100)
    left, right = ball(shape, (25, 25, 25), 20), ball(shape, (25, 25, 70), 16)
    tube = np.zeros(shape, bool)
    tube[23:27, 23:27, 25:70] = True
    return left, right, tube


@pytest.mark.parametrize('spacing', [(1.0, 1.0, 1.0), (0.7, 0.7, 2.5)])
def test_lungs_come_apart(spacing):
    left, right, tube = touching_lungs()
    numbers = split_lungs(left | right | tube, spacing)
    np.testing.assert_array_equal(numbers > 0, left | right | tube)
    assert (numbers[left] == 3).mean() > 0.99 and (numbers[right] == 4).mean() > 0.99


def test_one_lung_alone():
    left, *_ = touching_lungs()
    assert set(np.unique(split_lungs(left, (1.0, 1.0, 1.0)))) == {0, 3}


def test_kinds_of_masks():
    left, right, tube = touching_lungs()
    official = np.where(left, 3, 0) + np.where(right, 4, 0)
    with_windpipe = np.where((official == 0) & tube, 5, official)
    options = (1.0, 1.0, 1.0), 'mask'
    np.testing.assert_array_equal(number_lungs(with_windpipe, *options), official)
    two = np.where(left, 1, 0) + np.where(right, 2, 0)
    np.testing.assert_array_equal(number_lungs(two, *options), two)
    one = number_lungs((official > 0).astype(np.uint8), *options)
    np.testing.assert_array_equal(one, official)
    lobes = np.where(official == 4, 10 + np.indices(left.shape)[0] // 20, official * 7)
    np.testing.assert_array_equal(number_lungs(lobes, *options), official)
    with pytest.raises(UserError, match='scan.mhd is empty'):
        number_lungs(two * 0, (1.0, 1.0, 1.0), 'scan.mhd')


def test_bad_regions():
    with pytest.raises(UserError, match='margin is -1'):
        LungRegion(-1)
    with pytest.raises(UserError, match='fill or keep'):
        LungRegion(outside='air')
