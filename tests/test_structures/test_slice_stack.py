import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.structures.slice_stack import SliceShifts, find_shifts, move_slices


@pytest.fixture
def image():
    array = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 1.0, 2.2))
    return image


def test_slices_go_where_they_lie(image):
    # x and y mm from slice to slice; z of slices 2 mm apart
    positions = np.array([[10, 5, 100], [11, 5, 102], [10, 3.1, 104]], float)
    shifts = find_shifts(image, positions)
    assert shifts.px.tolist() == [[0, 2], [2, 2], [0, 0]]
    moved = move_slices(image, positions, shifts)
    assert moved.GetSize() == (7, 6, 3)
    assert moved.GetSpacing() == pytest.approx((0.5, 1, 2))
    assert moved.GetOrigin() == pytest.approx((10, 3, 100))
    assert moved.TransformPhysicalPointToIndex(positions[1].tolist()) == (2, 2, 1)
    assert moved[2, 2, 1] == image[0, 0, 1] and moved[4, 3, 2] == image[4, 3, 2]
    assert moved[0, 0, 0] == moved[0, 2, 1] == -1024
    assert (np.sort(sitk.GetArrayFromImage(moved).ravel())[-60:] == np.arange(60)).all()


def test_masks_go_both_ways():
    shifts = SliceShifts(np.array([[0, 3], [1, 0], [2, 1]]))
    mask = np.random.default_rng(0).random((3, 4, 5)) > 0.5
    moved = shifts.move(mask)
    assert moved.shape == (3, 7, 7) and moved.sum() == mask.sum()
    assert (shifts.move_back(moved) == mask).all()
    assert shifts.at(np.array([0, 0.5, 2, 9])).tolist() == [[0, 3], [0.5, 1.5], [2, 1], [2, 1]]


@pytest.mark.parametrize(
    'far',
    [
        0.2,
        4.1,
        1e9,
        np.inf,
        np.nan,
    ],  # mm along y: within half a px, farther than the slice's height
)
def test_what_is_not_moved(image, far):
    positions = np.array([[0, 0, 0], [0, far, 2], [0, 0, 4]], float)
    with np.errstate(invalid='ignore'):
        assert find_shifts(image, positions) is None


def test_sagittal_slices_are_not_moved(image):
    image.SetDirection((0, 0, 1, 1, 0, 0, 0, 1, 0))
    positions = np.array([[0, 0, 0], [2, 2, 0], [4, 4, 0]], float)
    assert find_shifts(image, positions) is None
