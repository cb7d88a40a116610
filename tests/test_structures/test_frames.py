from mmlesion.structures import file_box, file_shift


def test_boxes_of_a_file_in_the_frame_of_mmdet():
    box = dict(bbox=[2.5, 3.0, 10, 20])
    assert file_box(box, dict(pixel_center=0.0)) == [3.0, 3.5, 13.0, 23.5]
    assert file_box(box, dict(pixel_center=0.5)) == file_box(box, {}) == [2.5, 3.0, 12.5, 23.0]
    assert file_shift(dict(pixel_center=0.0)) == 0.5 and file_shift({}) == 0
