import numpy as np

from mmlesion.structures import (
    file_box,
    file_shift,
    reverse_axes,
    to_half_open,
    to_inclusive,
    to_original_frame,
)


def test_boxes_of_a_file_in_the_frame_of_mmdet():
    box = dict(bbox=[2.5, 3.0, 10, 20])
    assert file_box(box, dict(pixel_center=0.0)) == [3.0, 3.5, 13.0, 23.5]
    assert file_box(box, dict(pixel_center=0.5)) == file_box(box, {}) == [2.5, 3.0, 12.5, 23.0]
    assert file_shift(dict(pixel_center=0.0)) == 0.5 and file_shift({}) == 0


def test_inclusive_and_half_open():
    one_voxel = np.array([[3, 4, 5, 3, 4, 5], [0, 0, 0, 9, 8, 7]])
    assert to_half_open(one_voxel).tolist() == [[3, 4, 5, 4, 5, 6], [0, 0, 0, 10, 9, 8]]
    np.testing.assert_array_equal(to_inclusive(to_half_open(one_voxel)), one_voxel)
    assert one_voxel[0, 5] == 5, 'it is not changed in place'


def test_axes_in_the_other_order():
    assert reverse_axes([1, 2, 3, 4, 5, 6]).tolist() == [3, 2, 1, 6, 5, 4]
    assert reverse_axes(np.zeros((0, 6))).shape == (0, 6)


def test_clipped_border_is_undone():
    boxes = np.array([[1.0, 2.0, 3.0, 4.0]])
    moved = to_original_frame(boxes, dict(border_offset=(10, 20)))
    assert moved.tolist() == [[11, 22, 13, 24]] and boxes[0, 0] == 1
    assert to_original_frame(boxes, {}).tolist() == boxes.tolist()
