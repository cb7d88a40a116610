import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from pycocotools import mask as mask_utils

from mmlesion.converters.regions import (
    SliceOptions,
    lesion_regions,
    mask_regions,
    number_lesions,
    sphere_regions,
    write_slices,
)
from mmlesion.io.slices import slice_file_name
from mmlesion.structures import Grid
from mmlesion.structures.ct_volume import CTVolume
from mmlesion.utils import UserError


def picture():
    """A mask with a rectangle, two px that touch by their corners, and one alone."""
    mask = np.zeros((20, 30), bool)
    mask[4:8, 10:16] = True
    mask[12, 3] = mask[13, 4] = True
    mask[19, 29] = True
    return mask


def test_a_box_for_each_region_of_a_slice():
    regions = mask_regions(picture(), (0.5, 0.5), min_area=0.6)
    assert [region['bbox'] for region in regions] == [[10, 4, 6, 4], [3, 12, 2, 2], [29, 19, 1, 1]]
    assert [region['area'] for region in regions] == [24, 2, 1]
    assert [region['ignore'] for region in regions] == [0, 1, 1]  # 6, 0.5 and 0.25 mm2
    together = sum(mask_utils.decode(region['segmentation']) for region in regions)
    np.testing.assert_array_equal(together, picture())
    assert mask_regions(np.zeros((4, 4), bool), (1, 1)) == []


def test_diameters_are_in_mm_and_recist_in_px():
    mask = np.zeros((60, 60), bool)
    y, x = np.mgrid[:60, :60]
    mask[((x - 30) / 20) ** 2 + ((y - 25) / 10) ** 2 <= 1] = True
    (region,) = mask_regions(mask, (0.5, 0.5))
    np.testing.assert_allclose(region['diameters_mm'], [20, 10], atol=0.6)
    ends = np.reshape(region['recist'], (4, 2))
    np.testing.assert_allclose(np.sort(ends[:2, 0]), [10, 50], atol=0.6)
    np.testing.assert_allclose(ends[:2, 1], 25, atol=1.1)


@pytest.fixture
def volume():
    """Ten slices of 2 mm whose HU are 100 times their number from the head, less 900."""
    array = np.repeat(100 * np.arange(1, 11) - 900, 20 * 30).reshape(10, 20, 30).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.5, 0.5, 2.0))
    image.SetDirection((1, 0, 0, 0, 1, 0, 0, 0, -1))
    return CTVolume(image)


def write_key_slices(volume, lesions, folder, options):
    regions = lesion_regions(lesions, volume.spacing[:2], options.min_area)
    return write_slices(volume, regions, folder, options)


def test_slices_with_lesions_and_those_around(volume, tmp_path):
    mask = np.zeros(volume.array.shape, bool)
    mask[1, 4:8, 10:16] = mask[8, 2:6, 2:6] = True
    mask[4, 0, 0] = True  # below the least area
    images = write_key_slices(volume, mask, tmp_path / 'scan', SliceOptions(1.0, 4.0))
    assert [image['file_name'] for image in images] == ['scan/002.png', 'scan/009.png']
    assert [image['slice_range'] for image in images] == [[1, 4], [7, 10]]
    assert images[0] == {
        'file_name': 'scan/002.png',
        'height': 20,
        'width': 30,
        'spacing': [0.5, 0.5],
        'slice_interval': 2.0,
        'slice_index': 2,
        'slice_range': [1, 4],
        'windows': [[-175.0, 275.0]],
        'annotations': [{**mask_regions(mask[1], (0.5, 0.5))[0], 'lesion_id': 1}],
    }
    written = sorted(path.name for path in (tmp_path / 'scan').iterdir())
    assert written == [f'{number:03d}.png' for number in (1, 2, 3, 4, 7, 8, 9, 10)]
    stored = cv2.imread(str(tmp_path / 'scan' / '007.png'), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint16 and (stored == 32768 + 700 - 900).all()


def test_a_volume_without_lesions_leaves_an_empty_folder(volume, tmp_path):
    mask = np.zeros(volume.array.shape, bool)
    assert write_key_slices(volume, mask, tmp_path / 'scan', SliceOptions()) == []
    assert list((tmp_path / 'scan').iterdir()) == []


def test_every_slice_is_an_image(volume, tmp_path):
    mask = np.zeros(volume.array.shape, bool)
    mask[1, 4:8, 10:16] = mask[2, 5:9, 12:18] = mask[2, 15:18, 2:5] = True
    mask[4, 0, 0] = True
    options = SliceOptions(1.0, 4.0, every_slice=True)
    images = write_key_slices(volume, mask, tmp_path / 'scan', options)
    assert [image['slice_index'] for image in images] == list(range(1, 11))
    assert {tuple(image['slice_range']) for image in images} == {(1, 10)}
    found = [[(a['lesion_id'], a['ignore']) for a in image['annotations']] for image in images]
    assert found == [[], [(1, 0)], [(1, 0), (2, 0)], [], [(3, 1)], *[[]] * 5]
    assert len(list((tmp_path / 'scan').iterdir())) == 10


def test_numbered_lesions_that_touch_have_their_own_boxes(volume, tmp_path):
    nodes = np.zeros(volume.array.shape, np.uint8)
    nodes[3, 4:8, 10:14], nodes[3, 4:8, 14:16] = 7, 5
    (image,) = write_key_slices(volume, nodes, tmp_path / 'scan', SliceOptions(0.0))
    found = {a['lesion_id']: a['bbox'] for a in image['annotations']}
    assert found == {7: [10, 4, 4, 4], 5: [14, 4, 2, 4]}


def test_lesions_are_what_is_connected_in_3d():
    mask = np.zeros((4, 9, 9), bool)
    mask[0, 1, 1] = mask[1, 2, 2] = True  # by their corners
    mask[3, 2, 2] = mask[0, 7, 7] = True
    numbers = number_lesions(mask)
    assert numbers[0, 1, 1] == numbers[1, 2, 2] != numbers[0, 7, 7]
    assert len(np.unique(numbers[mask])) == 3 and (numbers > 0).sum() == 4
    assert not number_lesions(np.zeros((2, 3, 3), bool)).any()


def test_sections_of_spheres():
    """A ball of 10 mm round the center of voxel (4, 20, 30), whose slices are 2 mm apart."""
    grid = Grid((9, 40, 60), (0.5, 1.0, 2.0), (5, 6, 7), (1, 0, 0, 0, 1, 0, 0, 0, -1))
    center = (5 + 30 * 0.5, 6 + 20 * 1.0, 7 - 4 * 2.0)
    findings = [
        dict(center_mm=center, diameter_mm=10, ignore=0),
        dict(center_mm=(5, 26, 7 - 1.5), diameter_mm=1.4, ignore=1),
    ]
    regions = sphere_regions(findings, grid, min_area=30.0)
    # 2 and 4 mm off its center the section has a radius of sqrt(21) and 3 mm
    assert {index: len(found) for index, found in regions.items()} == {
        **dict.fromkeys(range(2, 7), 1),
        1: 1,
    }
    (middle,), (end,) = regions[4], regions[6]
    np.testing.assert_allclose(middle['bbox'], [20.5, 15.5, 20, 10], atol=1e-3)
    np.testing.assert_allclose(end['bbox'], [24.5, 17.5, 12, 6], atol=1e-3)
    assert middle['area'] == pytest.approx(np.pi * 25 / 0.5) and not middle['ignore']
    assert end['ignore'] == 1, '28 mm2'
    assert {found[0]['lesion_id'] for index, found in regions.items() if index > 1} == {1}
    # Between two slices, and half out of the image: the whole section, clipped.
    (between,) = regions[1]
    np.testing.assert_allclose(between['bbox'], [0, 19.8, 1.9, 1.4], atol=1e-3)
    assert between['ignore'] == 1 and between['lesion_id'] == 2


def test_file_names_of_a_series_have_one_width():
    assert slice_file_name(7, 999) == '007.png'
    assert [slice_file_name(n, 1059) for n in (7, 1000)] == ['0007.png', '1000.png']


@pytest.mark.parametrize('options', [dict(min_area=-1.0), dict(context_mm=float('nan'))])
def test_options_that_make_no_sense(options):
    with pytest.raises(UserError, match='give at least 0'):
        SliceOptions(**options)
