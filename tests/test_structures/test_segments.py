import numpy as np
import pytest
from pycocotools import mask as mask_utils
from scipy import ndimage

from mmlesion.structures import (
    Segment,
    clip_segment,
    cut_segments,
    encode_mask,
    shares_in_boxes,
    usable_segmentation,
)


def test_cut_and_paste():
    numbers = np.zeros((8, 10), np.int32)
    numbers[1:4, 2:6] = 1
    numbers[2, 4:6] = 2  # in the box of the other
    numbers[5:7, 8:10] = 3
    segments = cut_segments(numbers, [2, 0, 1, 1], offset=(100, 50))
    assert segments.keys() == {1, 2}
    assert segments[1].corner == (102, 51) and segments[2].corner == (104, 52)
    assert segments[1].mask.sum() == 10 and segments[2].mask.tolist() == [[True, True]]
    image = np.zeros((60, 110), int)
    segments[1].paste(image, 7)
    np.testing.assert_array_equal(image[50:58, 100:], (numbers == 1) * 7)
    assert cut_segments(numbers, []) == {} and cut_segments(numbers * 0, [0]) == {}


def test_shares_in_boxes_against_counting_px():
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(48, 64)), 2)
    numbers, count = ndimage.label(noise > 0.05)
    wanted = rng.integers(0, count + 1, 60)
    corners = np.sort(rng.uniform(-5, 70, (60, 2, 2)), axis=1)
    bboxes = corners.reshape(60, 4)
    y, x = np.indices(numbers.shape) + 0.5
    for share, number, (x1, y1, x2, y2) in zip(
        shares_in_boxes(numbers, wanted, bboxes), wanted, bboxes
    ):
        segment = (numbers == number) & (number > 0)
        inside = segment & (x >= x1) & (x < x2) & (y >= y1) & (y < y2)
        assert share == inside.sum() / max(segment.sum(), 1)


def test_share_of_known_segments():
    numbers = np.zeros((10, 12), np.int32)
    numbers[2:4, 2:6] = 1  # 8 px
    bboxes = np.array([[2.0, 2, 6, 4], [3.6, 0, 9, 9], [2, 2, 3, 9], [8, 8, 9, 9], [2, 2, 6, 4]])
    assert shares_in_boxes(numbers, np.array([1, 1, 1, 1, 0]), bboxes).tolist() == [
        1.0,
        0.5,
        0.25,
        0.0,
        0.0,
    ]
    assert shares_in_boxes(numbers, np.zeros(0, int), np.zeros((0, 4))).shape == (0,)


def test_clip_to_the_px_with_centers_in_the_box():
    mask = np.ones((6, 8), bool)
    mask[0, 0] = False
    segment = Segment(mask, (10, 20))
    whole = clip_segment(segment, (0, 0, 50, 50))
    assert whole.corner == (10, 20) and (whole.mask == mask).all()
    # columns 12 (its center is at 12.5) to 15, rows 18 to 22
    part = clip_segment(segment, (12.5, 18, 15.6, 22.6))
    assert part.corner == (12, 20) and part.mask.shape == (3, 4)
    assert clip_segment(segment, (9.0, 19, 11, 21)) is None, 'its only px is not of the segment'
    assert clip_segment(segment, (30, 20, 40, 30)) is None
    assert clip_segment(segment, (12.6, 20, 13.4, 30)) is None, 'no center lies in it'


TRIANGLE = [100.5, 200.0, 104.5, 200.0, 102.0, 203.0]


def test_rle_and_back():
    mask = np.zeros((5, 7), bool)
    mask[1:3, 2:6] = True
    encoded = encode_mask(mask)
    assert isinstance(encoded['counts'], str) and usable_segmentation(encoded) is encoded
    np.testing.assert_array_equal(mask_utils.decode(encoded).astype(bool), mask)


def test_polygons_that_enclose_nothing_are_left_out():
    degenerate = [[], [1, 2], [0, 0, 4, 4], [0, 0, 2, 2, 4, 4], [3.0, 3] * 3, [0, 0, 4, 0, 4, 4, 0]]
    assert usable_segmentation([*degenerate, TRIANGLE]) == [TRIANGLE]
    assert usable_segmentation(degenerate) is None


@pytest.mark.parametrize('nothing', [None, [], [[]], {}, dict(size=[4, 4]), dict(counts=[16])])
def test_nothing(nothing):
    assert usable_segmentation(nothing) is None
