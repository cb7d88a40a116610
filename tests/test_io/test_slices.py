import pytest

from mmlesion.io.slices import (
    has_slice_number,
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
