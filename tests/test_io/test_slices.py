import json

import numpy as np
import pytest

from mmlesion.io.slices import (
    has_slice_number,
    list_series,
    merge_ranges,
    series_of,
    slice_file_name,
    slice_number,
    slice_path,
)
from mmlesion.utils import UserError


def test_names_of_slices():
    assert [slice_file_name(7), slice_file_name(7, 1000)] == ['007.png', '0007.png']
    assert slice_number('000046_03_02/086.png') == 86
    assert series_of('000046_03_02/086.png') == '000046_03_02'
    assert series_of('a/b/1.png') == 'a/b'
    assert has_slice_number('086.png') and not has_slice_number('.086.png')
    assert not has_slice_number('notes.txt')
    with pytest.raises(UserError, match='does not end in a slice number'):
        slice_number('a/b.png')


def test_another_slice_has_as_many_digits():
    sample = {'img_path': 'x2/0099.png', 'slice_index': 99}
    assert slice_path(sample, 99) == 'x2/0099.png'
    assert slice_path(sample, 100) == 'x2/0100.png'
    with pytest.raises(UserError, match='does not end in a slice number'):
        slice_path({'img_path': 'scan.png', 'slice_index': 1}, 2)


def test_overlapping_ranges_are_joined():
    assert merge_ranges([(5, 9), [1, 3], (3, 4), (9, 9)]) == [(1, 4), (5, 9)]


@pytest.fixture
def coco(two_studies):
    return json.loads((two_studies / 'train.json').read_text())


def test_all_slices_of_annotated_series(two_studies, coco):
    first, second = list_series(coco, two_studies / 'images')
    assert (first.name, second.name) == ('000001_01_01', '000001_02_01')
    assert first.slices.tolist() == list(range(1, 11)) and first.patient == 1
    assert [a['id'] for a in first.annotations] == [3]
    assert first.image(4) is first.images[5] is coco['images'][0]


def test_new_image_has_its_own_run(two_studies, coco):
    (two_studies / 'images' / '000001_01_01' / '003.png').unlink()
    volume = list_series(coco, two_studies / 'images')[0]
    new = volume.image(1)
    assert 'id' not in new and new['slice_index'] == 2 and new['slice_range'] == [1, 2]
    assert new['file_name'] == '000001_01_01/002.png' and new['spacing'] == [0.8, 0.8]
    assert volume.image(2)['slice_range'] == [4, 10]


def test_errors_say_what_is_missing(two_studies, coco):
    with pytest.raises(UserError, match='no folder .*000001_01_01'):
        list_series(coco, two_studies)
    (two_studies / 'images' / '000001_02_01' / '005.png').unlink()
    with pytest.raises(UserError, match='no slice .*000001_02_01/005.png'):
        list_series(coco, two_studies / 'images')
    coco['images'][0]['file_name'] = '../outside/005.png'
    with pytest.raises(UserError, match='leads outside'):
        list_series(coco, two_studies / 'images')


def test_other_files_are_no_slices(two_studies, coco):
    folder = two_studies / 'images' / '000001_01_01'
    (folder / 'notes.txt').write_text('')
    (folder / '._005.png').write_text('')
    slices = list_series(coco, two_studies / 'images')[0].slices
    np.testing.assert_array_equal(slices, np.arange(1, 11))
