import numpy as np
import pytest
import SimpleITK as sitk

from mmlesion.apis.lesions import Lesion, describe_lesions, label_map
from mmlesion.structures import Segment
from mmlesion.structures.ct_volume import CTVolume

BOXES = np.array([[4, 2, 1, 24, 12, 4], [5.25, 7, 8, 8.25, 9, 9]], float)


@pytest.fixture
def volume():
    """30 x 20 x 10 voxels, axes to left, posterior and superior: the slices are reversed."""
    image = sitk.Image(30, 20, 10, sitk.sitkInt16)
    image.SetSpacing((0.5, 0.5, 2.0))
    image.SetOrigin((100.0, -50.0, 7.0))
    return CTVolume(image)


def describe(volume, **options):
    return describe_lesions(
        volume, BOXES, np.array([0.9, 0.4]), [0, 1], ('liver', 'lung'), **options
    )


def test_known_lesions(volume):
    first, second = describe(volume, box_margin=1.0)
    assert first == Lesion(
        id=1,
        label='liver',
        score=0.9,
        center_mm=(100 + 13.5 * 0.5, -50 + 6.5 * 0.5, 7 + 7 * 2.0),
        center_voxel=(13.5, 6.5, 7.0),
        bbox_voxel=(3.5, 1.5, 5.5, 23.5, 11.5, 8.5),
        diameter_mm=20 * 0.5 - 2,
        short_diameter_mm=10 * 0.5 - 2,
        diameter_source='box',
        slice_range=(6, 8),
        key_slice=7,
    )
    assert second.id == 2 and second.label == 'lung' and second.slice_range == (1, 1)
    assert second.diameter_mm == 0.5, 'a box within the margin is a pixel wide'


def test_slice_range_of_fractional_boxes(volume):
    boxes = np.array([[0, 0, 1.6, 4, 4, 4.4], [0, 0, 2.1, 4, 4, 2.3]])
    lesions = describe_lesions(volume, boxes, [0.9, 0.8], [0, 0], ('lesion',))
    # Centers of the training slices 2 and 3 lie in the first box, none in the second.
    assert [lesion.slice_range for lesion in lesions] == [(6, 7), (7, 7)]


def test_label_map_is_the_inscribed_ellipsoid(volume):
    first, second = describe(volume)
    labels = label_map(volume, [first])
    assert labels.shape == (10, 20, 30) and labels.dtype == np.uint8
    k, j, i = np.indices(labels.shape)
    distance = ((i - 13.5) / 10) ** 2 + ((j - 6.5) / 5) ** 2 + ((k - 7) / 1.5) ** 2
    np.testing.assert_array_equal(labels, (distance <= 1).astype(int))
    assert (label_map(volume, [first, second]) == 2).any()


def test_higher_score_is_seen_and_small_lesions_too(volume):
    boxes = np.array([[4, 4, 2, 4.2, 4.2, 2.2], [0, 0, 0, 10, 10, 5], [28, 18, 8, 40, 30, 12]])
    lesions = describe_lesions(volume, boxes, [0.9, 0.5, 0.4], [0, 0, 0], ('lesion',))
    labels = label_map(volume, lesions)
    assert (labels == 1).sum() == 1
    assert (labels == 2).sum() > 100
    assert (labels == 3).sum() > 0, 'a box that reaches over the border is cut'
    assert label_map(volume, []).max() == 0


def test_masks_give_the_diameters_and_the_label_map(volume):
    small, large = np.ones((2, 3), bool), np.ones((1, 8), bool)
    segments = [{1: Segment(small, (5, 4)), 2: Segment(large, (6, 5))}, {}]
    first, second = describe(volume, segments=segments)
    assert (first.diameter_source, second.diameter_source) == ('mask', 'box')
    assert first.diameter_mm == pytest.approx(8 * 0.5)
    assert first.short_diameter_mm == pytest.approx(0.5)
    # Slice 2 of the training frame, whose slices are reversed, is where it is longest.
    assert first.key_slice == 7 and first.slice_range == (6, 8)
    assert second.key_slice == 1 and second.recist_voxel is None
    ends = np.array(first.recist_voxel).reshape(2, 2, 3)
    np.testing.assert_allclose(np.sort(ends[0], axis=0), [[5.5, 5, 7], [13.5, 5, 7]])
    np.testing.assert_allclose(np.sort(ends[1], axis=0), [[9.5, 4.5, 7], [9.5, 5.5, 7]])
    labels = label_map(volume, [first])
    expected = np.zeros((10, 20, 30), int)
    expected[8, 4:6, 5:8] = expected[7, 5, 6:14] = 1
    np.testing.assert_array_equal(labels, expected)
    both = label_map(volume, [first, second])
    assert (both == 2).any() and ((both == 1) == (expected == 1)).all()


def test_label_values_beyond_255(volume):
    boxes = np.repeat(BOXES[:1], 300, axis=0)
    boxes[:, [0, 3]] = [[0, 1]]
    boxes[299] = BOXES[1]
    lesions = describe_lesions(volume, boxes, np.full(300, 0.5), [0] * 300, ('lesion',))
    assert label_map(volume, lesions).max() == 300
